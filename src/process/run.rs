//! `squelch run`.
use crate::process::config::Config;
use anyhow::Result;
/// Runs.
pub fn main(_config: Config) -> Result<()> {
    anyhow::bail!("not yet")
}
