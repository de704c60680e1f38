//! Reads secrets from files, the environment and systemd's credentials. No error shows one.

use std::path::{Path, PathBuf};

use crate::io::files::bounded_text;
use crate::notify::settings::complaint::PlacedComplaint;
use crate::notify::settings::secret::{Hidden, ReadSecret, SecretKeys, SecretPlace};

/// Bytes of a file with a secret.
const SECRET_FILE_BYTES_MAX: u64 = 64 << 10;

/// Reads secrets; relative paths start from the folder of squelch.yaml.
pub struct SecretFiles {
    /// That folder.
    pub base: PathBuf,
}

/// Says of an error where the secret is configured, and what to do.
type Complain<'a> = Box<dyn Fn(String) -> PlacedComplaint + 'a>;

impl ReadSecret for SecretFiles {
    fn read(&self, keys: SecretKeys<'_>) -> Result<Option<Hidden>, PlacedComplaint> {
        let Some(place) = keys.place()? else { return Ok(None) };
        let (secret, complain): (Result<String, String>, Complain<'_>) = match place {
            SecretPlace::Inline(secret) => return Ok(Some(secret.clone())),
            SecretPlace::File(file) => {
                let path = self.base.join(&file.value);
                let hint = "make the file, readable for squelch's user alone, with the secret as its first line";
                (
                    first_line(&path),
                    Box::new(move |error| PlacedComplaint::about(file, format!("{}: {error}", path.display()), hint)),
                )
            }
            SecretPlace::Env(name) => {
                let value = std::env::var(&name.value).map_err(|_| "is not set".to_string());
                let hint = "set it for the process of squelch, for example by EnvironmentFile= of its systemd unit";
                (value, Box::new(move |error| PlacedComplaint::about(name, format!("the variable {} {error}", name.value), hint)))
            }
            SecretPlace::Credential(name) => {
                let folder = std::env::var_os("CREDENTIALS_DIRECTORY");
                let value = match folder {
                    Some(folder) if is_file_name(&name.value) => first_line(&Path::new(&folder).join(&name.value)),
                    Some(_) => Err("is no name of a credential".into()),
                    None => Err("cannot be read: systemd passes no credentials to this process".into()),
                };
                let hint = "add LoadCredential= to the systemd unit of squelch";
                (value, Box::new(move |error| PlacedComplaint::about(name, format!("credential {}: {error}", name.value), hint)))
            }
        };
        match secret.map(|secret| secret.trim().to_string()) {
            Ok(secret) if secret.is_empty() => Err(complain("is empty".into())),
            Ok(secret) => Ok(Some(Hidden(secret))),
            Err(error) => Err(complain(error)),
        }
    }
}

fn first_line(path: &Path) -> Result<String, String> {
    let text = bounded_text::read(path, SECRET_FILE_BYTES_MAX).map_err(|error| error.to_string())?;
    Ok(text.lines().next().unwrap_or_default().to_string())
}

fn is_file_name(name: &str) -> bool {
    !name.is_empty() && !name.contains('/') && name != "." && name != ".."
}
