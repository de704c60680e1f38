//! `regexp_extract(text, pattern, group)`: what a group of a regular expression matches, or the whole match.
//!
//! PostgreSQL's `regexp_match(…)[1]`, `regexp_substr` and `substring(… from '…')` are rewritten to it
//! ([`crate::rule::sql::rewrite`]); DataFusion has only a list of groups, which no rule can take apart.

use std::num::NonZeroUsize;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use arrow::array::{ArrayRef, AsArray, StringViewArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use regex::Regex;

use crate::model::limits::PATTERN_BYTES_MAX;

/// The name that rules call it by.
pub const NAME: &str = "regexp_extract";

static EXTRACT: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Arc::new(ScalarUDF::from(RegexpGroup::new())));

/// The function.
pub fn regexp_extract() -> Arc<ScalarUDF> {
    Arc::clone(&EXTRACT)
}

/// The number of groups of a pattern.
///
/// # Errors
///
/// The pattern cannot be read: why.
pub fn groups(pattern: &str) -> Result<usize, String> {
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(format!("it has more than {PATTERN_BYTES_MAX} bytes"));
    }
    match Regex::new(pattern) {
        Ok(regex) => Ok(regex.captures_len() - 1),
        Err(regex::Error::CompiledTooBig(_)) => Err("it is too large with its repetitions written out".into()),
        Err(error) => {
            let text = error.to_string();
            Err(text.lines().find_map(|line| line.strip_prefix("error: ")).unwrap_or("what is wrong is not known").to_string())
        }
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct RegexpGroup {
    signature: Signature,
}

impl RegexpGroup {
    fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

/// The pattern that was compiled last: all batches of a rule have the same.
static COMPILED: LazyLock<Mutex<lru::Patterns>> = LazyLock::new(Mutex::default);

mod lru {
    //! The few patterns that are in use, compiled.

    use regex::Regex;

    const PATTERNS_MAX: usize = 256;

    #[derive(Default)]
    pub(super) struct Patterns(Vec<(String, Regex)>);

    impl Patterns {
        pub(super) fn get(&mut self, pattern: &str) -> Option<Regex> {
            if let Some((_, regex)) = self.0.iter().find(|(known, _)| known == pattern) {
                return Some(regex.clone());
            }
            let regex = Regex::new(pattern).ok()?;
            if self.0.len() == PATTERNS_MAX {
                self.0.remove(0);
            }
            self.0.push((pattern.to_string(), regex.clone()));
            Some(regex)
        }
    }
}

fn text_of(value: Option<&ScalarValue>) -> Option<&str> {
    value?.try_as_str().flatten()
}

impl ScalarUDFImpl for RegexpGroup {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        match arguments.len() {
            2 => Ok(vec![DataType::Utf8View, DataType::Utf8]),
            3 => Ok(vec![DataType::Utf8View, DataType::Utf8, DataType::Int64]),
            _ => plan_err!(
                "regexp_extract() takes a text, a pattern and the number of a group: regexp_extract(body, 'took (\\d+) ms', 1)"
            ),
        }
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let Some(pattern) = text_of(args.scalar_arguments.get(1).copied().flatten()) else {
            return plan_err!("a regular expression is computed anew for each row: write it out as one text in quotes");
        };
        let known = match groups(pattern) {
            Ok(known) => known,
            Err(why) => return plan_err!("a regular expression cannot be read: {why}"),
        };
        if let Some(group) = args.scalar_arguments.get(2) {
            match group {
                Some(ScalarValue::Int64(Some(group))) if usize::try_from(*group).is_ok_and(|group| group <= known) => {}
                Some(ScalarValue::Int64(Some(group))) => {
                    return plan_err!("the regular expression has {known} groups, there is no group {group}");
                }
                _ => return plan_err!("the number of a group is computed anew for each row: write it out"),
            }
        }
        Ok(Arc::new(Field::new(NAME, DataType::Utf8View, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let pattern = match &args.args[1] {
            ColumnarValue::Scalar(pattern) => text_of(Some(pattern)).unwrap_or_default().to_string(),
            ColumnarValue::Array(_) => return exec_err!("the pattern is no constant"),
        };
        let group = match args.args.get(2) {
            Some(ColumnarValue::Scalar(ScalarValue::Int64(Some(group)))) => usize::try_from(*group).unwrap_or(0),
            _ => 0,
        };
        let Some(regex) = COMPILED.lock().unwrap_or_else(PoisonError::into_inner).get(&pattern) else {
            return exec_err!("the pattern cannot be read");
        };
        let answer = |texts: &ArrayRef| -> Result<ArrayRef> {
            let texts = cast(texts, &DataType::Utf8View)?;
            let found = texts.as_string_view().iter().map(|text| extracted(&regex, text?, NonZeroUsize::new(group)));
            Ok(Arc::new(found.collect::<StringViewArray>()))
        };
        match &args.args[0] {
            ColumnarValue::Array(texts) => Ok(ColumnarValue::Array(answer(texts)?)),
            ColumnarValue::Scalar(text) => {
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&answer(&text.to_array()?)?, 0)?))
            }
        }
    }
}

/// Finding the whole match is cheaper than finding groups.
fn extracted<'t>(regex: &Regex, text: &'t str, group: Option<NonZeroUsize>) -> Option<&'t str> {
    match group {
        None => regex.find(text).map(|found| found.as_str()),
        Some(group) => regex.captures(text)?.get(group.get()).map(|found| found.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_or_the_whole_match() {
        let regex = Regex::new(r"took (\d+) (ms|s)?").unwrap();
        let of = |text, group| extracted(&regex, text, NonZeroUsize::new(group));
        assert_eq!((of("it took 12 ms", 0), of("it took 12 ms", 1)), (Some("took 12 ms"), Some("12")));
        assert_eq!((of("it took 12 ", 2), of("nothing", 1)), (None, None));
        assert_eq!((groups("a(b)(c)"), groups("abc")), (Ok(2), Ok(0)));
        assert!(groups("(?=a)").unwrap_err().contains("look-around"));
    }
}
