//! Results as JUnit XML, which build servers read.

use std::fmt::Write;

/// What came of one test.
#[derive(Debug)]
pub(crate) struct TestResult {
    /// The file.
    pub(crate) file: String,
    pub(crate) name: String,
    /// Why it failed; empty where it did not.
    pub(crate) failure: String,
    /// What of it was not run.
    pub(crate) skipped: Vec<String>,
    pub(crate) seconds: f64,
}

/// The document.
pub(crate) fn to_xml(results: &[TestResult]) -> String {
    let failed = results.iter().filter(|result| !result.failure.is_empty()).count();
    let seconds: f64 = results.iter().map(|result| result.seconds).sum();
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let head =
        format!("name=\"squelch test\" tests=\"{}\" failures=\"{failed}\" errors=\"0\" time=\"{seconds:.3}\"", results.len());
    line(&mut xml, &format!("<testsuites {head}>"));
    for of_file in results.chunk_by(|a, b| a.file == b.file) {
        let failed = of_file.iter().filter(|result| !result.failure.is_empty()).count();
        let seconds: f64 = of_file.iter().map(|result| result.seconds).sum();
        let file = escape(&of_file[0].file);
        let tests = of_file.len();
        line(
            &mut xml,
            &format!("  <testsuite name=\"{file}\" tests=\"{tests}\" failures=\"{failed}\" errors=\"0\" time=\"{seconds:.3}\">"),
        );
        for result in of_file {
            let name = escape(&result.name);
            line(&mut xml, &format!("    <testcase classname=\"{file}\" name=\"{name}\" time=\"{:.3}\">", result.seconds));
            if !result.failure.is_empty() {
                let (first, all) = (result.failure.lines().next().unwrap_or_default(), escape(&result.failure));
                line(&mut xml, &format!("      <failure message=\"{}\">{all}</failure>", escape(first)));
            }
            for skipped in &result.skipped {
                line(&mut xml, &format!("      <system-out>not run: {}</system-out>", escape(skipped)));
            }
            line(&mut xml, "    </testcase>");
        }
        line(&mut xml, "  </testsuite>");
    }
    line(&mut xml, "</testsuites>");
    xml
}

fn line(xml: &mut String, text: &str) {
    xml.push_str(text);
    xml.push('\n');
}

/// Characters that XML cannot hold are left out.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {}
            c if c.is_ascii() => escaped.push(c),
            // A number stands for the same in any encoding.
            c => drop(write!(escaped, "&#{};", c as u32)),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped_and_failures_counted() {
        let result = |name: &str, failure: &str| TestResult {
            file: "a_test.yaml".into(),
            name: name.into(),
            failure: failure.into(),
            skipped: Vec::new(),
            seconds: 0.5,
        };
        let xml = to_xml(&[result("good", ""), result("a < b & \"c\" é \u{1}", "- x\n+ y")]);
        assert!(xml.contains("<testsuite name=\"a_test.yaml\" tests=\"2\" failures=\"1\" errors=\"0\" time=\"1.000\">"), "{xml}");
        assert!(xml.contains("name=\"a &lt; b &amp; &quot;c&quot; &#233; \""), "{xml}");
        assert!(xml.contains("<failure message=\"- x\">- x\n+ y</failure>"), "{xml}");
    }
}
