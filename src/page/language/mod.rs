//! The languages of the pages. An English text is its own key; [`korean`] has the other one. What rule authors and the engine wrote stays
//! as it is.

mod korean;

use serde::Serialize;

/// A language of the pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum Language {
    /// English.
    #[default]
    #[serde(rename = "en")]
    English,
    /// Korean.
    #[serde(rename = "ko")]
    Korean,
}

impl Language {
    /// All of them.
    pub const ALL: [Language; 2] = [Language::English, Language::Korean];

    /// Its tag, as in `lang`.
    pub fn tag(self) -> &'static str {
        match self {
            Language::English => "en",
            Language::Korean => "ko",
        }
    }

    /// The language with this tag.
    pub fn of_tag(tag: &str) -> Option<Self> {
        let primary = tag.split('-').next().unwrap_or_default();
        Self::ALL.into_iter().find(|language| primary.eq_ignore_ascii_case(language.tag()))
    }

    /// The one that a browser likes best: the value of `Accept-Language`.
    pub fn of_header(header: &str) -> Self {
        let wishes = header.split(',').filter_map(|wish| {
            let (tag, weight) = wish.split_once(";q=").unwrap_or((wish, "1"));
            let weight = weight.trim().parse::<f32>().ok().filter(|weight| *weight > 0.0)?;
            Some((Self::of_tag(tag.trim())?, weight))
        });
        // Of two that are liked alike the first one counts.
        wishes.fold((Language::default(), 0.0), |best, wish| if wish.1 > best.1 { wish } else { best }).0
    }

    /// A text of the pages in this language.
    pub fn text(self, english: &str) -> &str {
        match self {
            Language::English => english,
            Language::Korean => korean::text(english).unwrap_or(english),
        }
    }

    /// Whether it has this text.
    pub fn has(self, english: &str) -> bool {
        self == Language::English || korean::text(english).is_some()
    }
}

/// A text with each `{}` replaced by one of the arguments, in order.
pub fn filled(text: &str, arguments: &[String]) -> String {
    let mut arguments = arguments.iter();
    let mut parts = text.split("{}");
    let mut filled = parts.next().unwrap_or_default().to_string();
    for part in parts {
        filled.push_str(arguments.next().map_or("", String::as_str));
        filled.push_str(part);
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_liked_language_is_chosen() {
        for (header, language) in [
            ("ko-KR,ko;q=0.9,en;q=0.8", Language::Korean),
            ("en-US,en;q=0.9,ko;q=0.8", Language::English),
            ("fr, ko;q=0.3", Language::Korean),
            ("fr", Language::English),
            ("", Language::English),
            ("ko;q=0, en;q=0.1", Language::English),
            ("ko;q=abc", Language::English),
        ] {
            assert_eq!(Language::of_header(header), language, "{header}");
        }
    }

    #[test]
    fn arguments_are_filled_in() {
        assert_eq!(filled("revision {} of {}", &["2".into(), "3".into()]), "revision 2 of 3");
        assert_eq!(filled("{} and {}", &["{}".into()]), "{} and ");
    }
}
