//! Where a secret comes from: a file, the environment, a systemd credential, or the settings themselves. It is shown nowhere.

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;
use serde_saphyr::{Location, Spanned};

use crate::notify::settings::complaint::PlacedComplaint;

/// A secret. `Debug` does not show it.
#[derive(Clone, Default, Deserialize, PartialEq, Eq)]
#[serde(transparent)]
pub struct Hidden(pub String);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// The keys of one secret, `token` say: `token`, `token_file`, `token_env` and `token_credential`.
#[derive(Clone, Copy, Debug)]
pub struct SecretKeys<'a> {
    /// The key that holds it: `token`.
    pub key: &'static str,
    /// The secret itself.
    pub inline: Option<&'a Spanned<Hidden>>,
    /// A file whose first line is the secret.
    pub file: Option<&'a Spanned<PathBuf>>,
    /// A variable of the environment.
    pub env: Option<&'a Spanned<String>>,
    /// A credential of the systemd service.
    pub credential: Option<&'a Spanned<String>>,
}

/// The one place where a secret is.
#[derive(Clone, Copy, Debug)]
pub enum SecretPlace<'a> {
    /// In the settings.
    Inline(&'a Hidden),
    /// In a file.
    File(&'a Spanned<PathBuf>),
    /// In the environment.
    Env(&'a Spanned<String>),
    /// In `$CREDENTIALS_DIRECTORY`.
    Credential(&'a Spanned<String>),
}

/// Reads secrets. An error is what to print.
pub trait ReadSecret {
    /// The secret that these keys name; `None` where none of them is set.
    fn read(&self, keys: SecretKeys<'_>) -> Result<Option<Hidden>, PlacedComplaint>;
}

impl<'a> SecretKeys<'a> {
    /// What is wrong with the keys of a secret that a receiver, which stands at `of`, cannot do without.
    pub fn required(&self, of: Location) -> Option<PlacedComplaint> {
        let key = self.key;
        match self.place() {
            Ok(Some(_)) => None,
            Ok(None) => {
                let hint = format!("set {key}_file, {key}_env or {key}_credential");
                Some(PlacedComplaint::at(of, format!("`{key}` is missing"), hint))
            }
            Err(complaint) => Some(complaint),
        }
    }

    /// Where the secret is; `None` where no key is set.
    pub fn place(&self) -> Result<Option<SecretPlace<'a>>, PlacedComplaint> {
        let set: Vec<(Location, SecretPlace<'a>)> = [
            self.inline.map(|it| (it.referenced, SecretPlace::Inline(&it.value))),
            self.file.map(|it| (it.referenced, SecretPlace::File(it))),
            self.env.map(|it| (it.referenced, SecretPlace::Env(it))),
            self.credential.map(|it| (it.referenced, SecretPlace::Credential(it))),
        ]
        .into_iter()
        .flatten()
        .collect();
        match set.as_slice() {
            [] => Ok(None),
            [(_, place)] => Ok(Some(*place)),
            [_, (second, _), ..] => {
                let key = self.key;
                let message = format!("`{key}` is given in two ways");
                Err(PlacedComplaint::at(
                    *second,
                    message,
                    format!("keep one of {key}, {key}_file, {key}_env and {key}_credential"),
                ))
            }
        }
    }
}

/// The secret that these keys name.
pub fn required(reader: &dyn ReadSecret, keys: SecretKeys<'_>, of: Location) -> Result<Hidden, PlacedComplaint> {
    let key = keys.key;
    reader.read(keys)?.ok_or_else(|| {
        PlacedComplaint::at(
            of,
            format!("`{key}` is missing"),
            format!("set {key}_file, {key}_env or {key}_credential to where it is"),
        )
    })
}
