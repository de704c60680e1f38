//! Email: one thread an incident, with the state in the first line; every way in which a mail server refuses.

use crate::notify::receiver::{Incidents, Notifier, Revision};
use crate::notify::smtp_stand_in::{MailMood, MailStandIn, header};
use crate::support::nats::NatsServer;

fn settings(port: u16) -> String {
    format!(
        "notifiers:\n  mail:\n    email: {{ smtp: \"smtp://127.0.0.1:{port}\", tls: none, from: squelch@example.com, to: [a@example.com, b@example.com] }}\n    timeout: 1s\n"
    )
}

#[test]
fn the_mails_of_an_incident_are_one_thread() {
    let (server, mails) = (NatsServer::start(), MailStandIn::start());
    let incidents = Incidents::of(&server);
    let mut notifier = Notifier::new(&server, &settings(mails.port));
    notifier.start();
    let first = Revision::new("inc-0000000000000001", "warning");
    incidents.publish(&first);
    mails.wait(1);
    incidents.publish(&first.next());
    let worse = first.next().next().with("title", "everything fails".into()).with("severity", "critical".into());
    let worse = worse.notify(true, "severity_rose");
    incidents.publish(&worse);
    mails.wait(2);
    incidents.publish(&worse.resolved());
    incidents.wait_until_done("mail");
    let got = mails.wait(3);
    assert_eq!(got.len(), 3, "a revision without news is no mail");
    let of = |name: &str| got.iter().map(|mail| header(mail, name)).collect::<Vec<_>>();
    assert_eq!(of("Message-ID")[0].as_deref(), Some("<inc-0000000000000001.1@example.com>"));
    assert_eq!(of("Message-ID")[2].as_deref(), Some("<inc-0000000000000001.4@example.com>"));
    let thread = Some("<inc-0000000000000001.1@example.com>".to_string());
    assert_eq!(of("In-Reply-To"), [None, thread.clone(), thread.clone()]);
    assert_eq!(of("References"), [None, thread.clone(), thread]);
    let subject = Some("[production] inc-0000000000000001: checkout fails".to_string());
    assert_eq!(of("Subject"), [subject.clone(), subject.clone(), subject]);
    assert!(got.iter().all(|mail| header(mail, "Auto-Submitted").as_deref() == Some("auto-generated")));
    assert!(got.iter().all(|mail| header(mail, "X-Auto-Response-Suppress").as_deref() == Some("All")));
    assert!(got.iter().all(|mail| header(mail, "Date").is_some()));
    assert!(got[0].contains("Warning in production: inc-0000000000000001"));
    assert!(got[2].contains("Resolved in production: everything fails"));
    assert!(got[0].contains("text/plain") && got[0].contains("text/html") && !got[0].contains("<img"));
}

#[test]
fn a_mail_server_that_refuses_for_now_is_asked_again_and_one_that_hangs_up_gets_the_same_id() {
    let (server, mails) = (NatsServer::start(), MailStandIn::start());
    let incidents = Incidents::of(&server);
    let mut notifier = Notifier::new(&server, &settings(mails.port));
    notifier.start();
    mails.moods([MailMood::Garbage, MailMood::Refuse("451 try again later"), MailMood::TakeAndHangUp]);
    incidents.publish(&Revision::new("inc-0000000000000002", "warning"));
    incidents.wait_until_done("mail");
    let got = mails.wait(2);
    // Whether the first one arrived nobody could know: a mailbox that knows its id shows it once.
    assert_eq!(got.len(), 2);
    assert_eq!(header(&got[0], "Message-ID"), header(&got[1], "Message-ID"));
}

#[test]
fn a_reader_who_does_not_exist_is_reported() {
    let (server, mails) = (NatsServer::start(), MailStandIn::start());
    let incidents = Incidents::of(&server);
    let mut notifier = Notifier::new(&server, &settings(mails.port));
    notifier.start();
    mails.moods([MailMood::Refuse("550 no such user")]);
    incidents.publish(&Revision::new("inc-0000000000000003", "warning"));
    incidents.wait_until_done("mail");
    notifier.wait_for_metric("squelch_receiver_given_up_total{receiver=\"mail\"} 1.0");
    assert!(notifier.log().contains("no such user"), "{}", notifier.log());
    assert_eq!(incidents.alerts().len(), 1);
}

#[test]
fn a_server_without_starttls_gets_no_mail() {
    let (server, mails) = (NatsServer::start(), MailStandIn::start());
    let incidents = Incidents::of(&server);
    let mut notifier = Notifier::new(&server, &settings(mails.port).replace(", tls: none", ""));
    notifier.start();
    incidents.publish(&Revision::new("inc-0000000000000004", "warning"));
    notifier.wait_for_metric("squelch_receiver_failing{receiver=\"mail\"} 1");
    assert!(mails.mails().is_empty());
}
