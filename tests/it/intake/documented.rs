//! The lines of configuration in docs/collectors.md, as tests run them: what stands there, with the address of a test's own squelch.

use crate::support::root;

/// The addresses in the document.
const LISTEN: &str = "9464";
const SYSLOG: &str = "5514";

/// The blocks of a language below a heading.
pub fn blocks(heading: &str, language: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join("docs/collectors.md")).unwrap();
    let sections = text.split("\n## ").find(|section| section.lines().next() == Some(heading));
    let section = sections.unwrap_or_else(|| panic!("docs/collectors.md has no section {heading}"));
    let inside = section.split("```").skip(1).step_by(2).filter_map(|block| block.split_once('\n'));
    inside.filter(|(info, _)| *info == language).map(|(_, text)| text.to_string()).collect()
}

/// The blocks with these ports.
pub fn at(heading: &str, language: &str, port: u16) -> Vec<String> {
    blocks(heading, language).iter().map(|block| block.replace(LISTEN, &port.to_string())).collect()
}

/// A line of a shell block that begins so.
pub fn line(heading: &str, begins: &str, http: u16, syslog: u16) -> String {
    let blocks = blocks(heading, "sh");
    let line = blocks.iter().flat_map(|block| block.lines()).find(|line| line.starts_with(begins));
    let line = line.unwrap_or_else(|| panic!("{heading} has no line that begins {begins}"));
    line.replace(LISTEN, &http.to_string()).replace(SYSLOG, &syslog.to_string())
}
