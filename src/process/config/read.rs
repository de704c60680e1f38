//! Reads the configuration from a file: YAML to settings, every error with its place, and no secret in any of them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::io::files::bounded_text;
use crate::model::diagnostic::report::Report;
use crate::model::diagnostic::yaml_tree::Node;
use crate::model::diagnostic::{Diagnostic, offset_of, yaml_errors};
use crate::model::limits::CONFIG_FILE_BYTES_MAX;
use crate::notify::settings::check as notify_settings;
use crate::process::config::settings::{Config, OneOrMany};
use crate::process::config::validate;

impl Config {
    /// Reads a file. Relative paths in it start from its folder.
    pub fn read(path: &Path) -> Result<Self> {
        let text = bounded_text::read(path, CONFIG_FILE_BYTES_MAX).with_context(|| format!("cannot read {}", path.display()))?;
        let mut config = Self::parse(&text, &path.display().to_string())?;
        config.file = path.to_path_buf();
        let base = path.parent().unwrap_or(Path::new(""));
        let rebase = |path: &mut PathBuf| *path = base.join(&*path);
        config.rules = OneOrMany::Many(config.rules.paths().into_iter().map(|path| base.join(path)).collect());
        let (tls, intake) = (&mut config.nats.tls, &mut config.intake);
        intake.tokens.iter_mut().filter_map(|token| token.token_file.as_mut()).for_each(rebase);
        [
            &mut config.lookups,
            &mut config.topology.file,
            &mut config.signals,
            &mut config.checkpoint.dir,
            &mut config.nats.creds_file,
            &mut tls.ca_file,
            &mut tls.cert_file,
            &mut tls.key_file,
            &mut intake.tls.cert_file,
            &mut intake.tls.key_file,
        ]
        .into_iter()
        .flatten()
        .for_each(rebase);
        Ok(config)
    }

    /// Reads a file; the default one, `squelch.yaml`, may be missing.
    pub fn read_or_default(path: &Path) -> Result<Self> {
        let needed = path.exists() || path != Path::new("squelch.yaml");
        if needed { Self::read(path) } else { Ok(Self::default()) }
    }

    /// Reads a text; `name` is the file's in messages.
    pub fn parse(text: &str, name: &str) -> Result<Self, Report> {
        let report = |errors| Report::of_file(name, validate::without_secrets(text), errors);
        let options = serde_saphyr::options! { with_snippet: false };
        match serde_saphyr::from_str_with_options::<Option<Config>>(text, options) {
            Ok(config) => {
                let config = config.unwrap_or_default();
                let problems = validate::problems(&config);
                let of_notifiers = notify_settings::complaints(&config.notifiers, &config.routes);
                if problems.is_empty() && of_notifiers.is_empty() {
                    return Ok(config);
                }
                let tree = Node::parse(text, 0..text.len()).map_err(|error| report(vec![error]))?;
                let of_notifiers = of_notifiers.into_iter().map(|complaint| complaint.in_text(text));
                Err(report(problems.into_iter().map(|problem| problem.at(&tree)).chain(of_notifiers).collect()))
            }
            Err(error) => {
                let at = error.location().map_or(0, |at| offset_of(text, at.line() as usize, at.column() as usize));
                let error: Diagnostic = yaml_errors::explain(text, at, &error.to_string());
                Err(report(vec![error]))
            }
        }
    }
}
