//! Which pages of one run are those of another: they are about the same environment, share an entity and overlap in time.

use crate::model::time::TimestampMs;
use crate::process::backtest::pages::Page;

/// Pages of two runs that belong together.
#[derive(Debug, Default)]
pub(crate) struct Difference<'p> {
    /// Both have it, at the same time and as loud.
    pub(crate) same: Vec<(&'p Page, &'p Page)>,
    /// Both have it, at another time or in another severity.
    pub(crate) moved: Vec<(&'p Page, &'p Page)>,
    /// Only the old rules have it.
    pub(crate) gone: Vec<&'p Page>,
    /// Only the new rules have it.
    pub(crate) come: Vec<&'p Page>,
    /// Several of the one are one of the other, or several others.
    pub(crate) regrouped: Vec<(Vec<&'p Page>, Vec<&'p Page>)>,
}

/// Compares the pages of two runs.
pub(crate) fn difference<'p>(old: &'p [Page], new: &'p [Page]) -> Difference<'p> {
    let mut all = Difference::default();
    let (mut old_rest, mut new_rest): (Vec<&Page>, Vec<&Page>) = (old.iter().collect(), new.iter().collect());
    old_rest.retain(|old| match new_rest.iter().position(|new| is_equal(old, new)) {
        Some(at) => {
            all.same.push((old, new_rest.remove(at)));
            false
        }
        None => true,
    });
    for (old, new) in groups(&old_rest, &new_rest) {
        match (&old[..], &new[..]) {
            ([one], []) => all.gone.push(one),
            ([], [one]) => all.come.push(one),
            ([one], [other]) if one.at == other.at && one.severity == other.severity => all.same.push((one, other)),
            ([one], [other]) => all.moved.push((one, other)),
            _ => all.regrouped.push((old, new)),
        }
    }
    all
}

/// Old and new pages that belong together.
type Group<'p> = (Vec<&'p Page>, Vec<&'p Page>);

/// The pages, those together that are related, directly or through others; in order of time.
fn groups<'p>(old: &[&'p Page], new: &[&'p Page]) -> Vec<Group<'p>> {
    let all: Vec<(bool, &Page)> = old.iter().map(|page| (true, *page)).chain(new.iter().map(|page| (false, *page))).collect();
    let mut group_of: Vec<usize> = (0..all.len()).collect();
    for (first, (of_old, a)) in all.iter().enumerate() {
        for (second, (of_old_too, b)) in all.iter().enumerate().skip(first + 1) {
            if of_old != of_old_too && is_same_matter(a, b) {
                let (from, to) = (group_of[second], group_of[first]);
                group_of.iter_mut().filter(|group| **group == from).for_each(|group| *group = to);
            }
        }
    }
    let mut groups: Vec<Group<'p>> = Vec::new();
    for group in 0..all.len() {
        let members = || all.iter().zip(&group_of).filter(|(_, of)| **of == group).map(|(page, _)| page);
        let side = |of_old: bool| members().filter(|(old, _)| *old == of_old).map(|(_, page)| *page).collect::<Vec<_>>();
        if members().next().is_some() {
            groups.push((side(true), side(false)));
        }
    }
    groups.sort_by_key(|(old, new)| old.iter().chain(new).map(|page| page.at).min());
    groups
}

/// Whether nobody would notice which rules made it.
fn is_equal(a: &Page, b: &Page) -> bool {
    (a.at, a.severity, &a.env, &a.title, &a.entities) == (b.at, b.severity, &b.env, &b.title, &b.entities)
}

fn is_same_matter(a: &Page, b: &Page) -> bool {
    let end = |page: &Page| page.ended_at.unwrap_or(TimestampMs::MAX);
    a.env == b.env && a.started_at <= end(b) && b.started_at <= end(a) && !a.entities.is_disjoint(&b.entities)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::severity::Severity;

    fn page(name: &str, at: i64, end: i64, entities: &[&str]) -> Page {
        Page {
            id: format!("inc-{at:016x}").parse().unwrap(),
            at,
            severity: Severity::Warning,
            title: name.into(),
            cause: None,
            env: "production".into(),
            started_at: at - 10,
            ended_at: Some(end),
            entities: entities.iter().map(|name| name.to_string()).collect(),
        }
    }

    #[test]
    fn pages_are_paired_by_what_they_are_about() {
        let old = [
            page("a", 100, 200, &["db"]),
            page("b", 100, 200, &["web"]),
            page("c", 500, 600, &["db"]),
            page("d", 900, 950, &["x"]),
        ];
        let new = [page("ab", 90, 220, &["db", "web"]), page("c", 500, 600, &["db"]), page("e", 700, 800, &["mail"])];
        let all = difference(&old, &new);
        assert_eq!((all.same.len(), all.moved.len()), (1, 0));
        assert_eq!(all.gone.iter().map(|page| page.title.as_str()).collect::<Vec<_>>(), ["d"]);
        assert_eq!(all.come.iter().map(|page| page.title.as_str()).collect::<Vec<_>>(), ["e"]);
        assert_eq!((all.regrouped.len(), all.regrouped[0].0.len(), all.regrouped[0].1.len()), (1, 2, 1));
        let later = [page("c", 530, 600, &["db"])];
        assert_eq!(difference(&old[2..3], &later).moved.len(), 1);
    }
}
