//! The demo tells the story that it is scripted to tell.

use std::process::Command;

use crate::support::binary;

#[test]
fn the_demo_pages_once_for_the_outage_and_names_the_cause() {
    let done = Command::new(binary()).arg("demo").output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let story = String::from_utf8(done.stdout).unwrap();
    let pages: Vec<&str> = story.lines().filter(|line| line.contains("first page")).collect();
    let first_of = |what: &str| {
        story.split("\n\n").find(|page| page.contains("first page") && page.contains(what)).unwrap_or_default().to_string()
    };
    assert!(first_of("cause     postgres").contains("auth, chat, postgres"), "the outage's first page names postgres:\n{story}");
    assert!(first_of("cause     payment-provider").contains("critical"), "the second incident is its own:\n{story}");
    assert!(story.contains("the cause is now prod-node-5"), "the disk under postgres is found:\n{story}");
    assert!(story.contains("└─ web-client"), "the graph of what broke is drawn:\n{story}");
    assert!(story.contains("What was not sent, and why"), "{story}");
    assert!(pages.len() <= 10, "{} first pages:\n{story}", pages.len());
}
