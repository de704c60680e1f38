//! Which columns of a result have a name of their own. The others are called after their expression, in the planner's words, which no rule author
//! has written and no template can say.

/// Whether somebody has given this name: letters, digits, `_`.
pub fn is_word(name: &str) -> bool {
    name.chars().all(|c| c.is_alphanumeric() || c == '_')
}
