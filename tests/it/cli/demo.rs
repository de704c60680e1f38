//! The demo finds what it is scripted to show.

use std::process::Command;

use crate::cli::docs::shown_is_said;
use crate::support::{binary, root};

#[test]
fn the_demo_pages_once_for_the_outage_and_names_the_cause() {
    let done = Command::new(binary()).arg("demo").output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let story = String::from_utf8(done.stdout).unwrap();
    let pages: Vec<&str> = story.lines().filter(|line| line.contains("first notification")).collect();
    let first_of = |what: &str| {
        story
            .split("\n\n")
            .find(|page| page.contains("first notification") && page.contains(what))
            .unwrap_or_default()
            .to_string()
    };
    assert!(
        first_of("cause     postgres").contains("auth, chat, postgres"),
        "the outage's first notification names postgres:\n{story}"
    );
    assert!(first_of("cause     payment-provider").contains("critical"), "the second incident is its own:\n{story}");
    assert!(story.contains("the likeliest cause is now prod-node-5"), "the disk under postgres is found:\n{story}");
    assert!(story.contains("└─ web-client"), "the graph of what broke is drawn:\n{story}");
    assert!(story.contains("What nobody was notified of, and why"), "{story}");
    assert!(pages.len() <= 10, "{} first notifications:\n{story}", pages.len());
    for readme in ["README.md", "README.ko.md"] {
        let text = std::fs::read_to_string(root().join(readme)).unwrap();
        let shown = text.split("```text\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        let shown = shown.trim_end().to_string() + "\n…";
        let (shown, printed): (Vec<&str>, Vec<&str>) = (shown.lines().collect(), story.lines().collect());
        assert!(shown_is_said(&shown, &printed), "the excerpt in {readme} is not what the demo prints:\n{story}");
    }
}

/// The demo's values are decimals, whose plain float sums would tell one order from another.
#[test]
fn the_demo_does_not_depend_on_order_or_batching() {
    use crate::support::demo::{demo_files, outage_lines};
    use crate::support::expect::first_difference;
    use crate::support::runs::Scenario;

    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("events.jsonl"), outage_lines().join(&b'\n')).unwrap();
    std::fs::write(dir.path().join("topology.yaml"), demo_files().1).unwrap();
    std::os::unix::fs::symlink(root().join("rules"), dir.path().join("rules")).unwrap();
    let demo = Scenario::read(dir.path());
    let whole = demo.run(&demo.lines, usize::MAX, 1);
    assert!(whole.lines().count() > 20);
    let shuffled = crate::correlation::scenarios::shuffle_within(&demo.lines, demo.lateness_ms(), &mut crate::support::Rng(7));
    assert_eq!(first_difference(&whole, &demo.run(&shuffled, 100, 1)), None, "shuffled");
    assert_eq!(first_difference(&whole, &demo.run(&demo.lines, 3, 40)), None, "40 lines a message");
}
