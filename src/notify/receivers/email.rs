//! Email: one thread an incident. The first mail's id and subject are remembered: later ones answer it under the same subject, since mail
//! programs split a thread where that changes. The state stands in the first line.
//!
//! A mail server has no key by which it drops repeats. A mail that is sent again after a crash has the same `Message-ID`.

use serde::Deserialize;
use serde_saphyr::Spanned;

use crate::notify::call::{Answer, Call, Mail, Request};
use crate::notify::incident_view::IncidentView;
use crate::notify::receiver::{Job, News, Reading, Receiver, Wants};
use crate::notify::settings::complaint::PlacedComplaint;
use crate::notify::settings::secret::{Hidden, SecretKeys};
use crate::notify::text::{Part, Texts, runbooks, shortened_chars};

/// The settings.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct EmailConfig {
    /// The mail server: `smtp://host:587` for STARTTLS, `smtps://host:465` for TLS from the start.
    pub smtp: Option<Spanned<String>>,
    /// How it is encrypted, where the address does not say it.
    pub tls: Option<MailTls>,
    /// With `password`.
    pub user: Option<String>,
    /// The password of `user`.
    pub password: Option<Spanned<Hidden>>,
    /// A file that holds it.
    pub password_file: Option<Spanned<std::path::PathBuf>>,
    /// A variable of the environment that holds it.
    pub password_env: Option<Spanned<String>>,
    /// A systemd credential that holds it.
    pub password_credential: Option<Spanned<String>>,
    /// The sender.
    pub from: Option<Spanned<String>>,
    /// The readers.
    pub to: Vec<Spanned<String>>,
    /// Template of the subject of the first mail.
    pub title: Option<Spanned<String>>,
    /// Template of the text.
    pub text: Option<Spanned<String>>,
}

/// How the connection to a mail server is encrypted.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum MailTls {
    /// From the first line on, or not at all.
    Starttls,
    /// From the first byte on.
    Tls,
    /// Not: within one machine.
    None,
}

/// A mail server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailServer {
    /// Its name.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is encrypted.
    pub tls: MailTls,
    /// How to sign in.
    pub sign_in: Option<(String, Hidden)>,
}

/// Characters of a subject: what a mail program shows.
const SUBJECT_CHARS_MAX: usize = 200;
/// Bytes of a mail address.
const ADDRESS_BYTES_MAX: usize = 254;
/// What the record remembers of the first mail.
const FIRST: &str = "message_id";
const SUBJECT: &str = "subject";

impl EmailConfig {
    /// The keys of the password.
    pub fn password(&self) -> SecretKeys<'_> {
        SecretKeys {
            key: "password",
            inline: self.password.as_ref(),
            file: self.password_file.as_ref(),
            env: self.password_env.as_ref(),
            credential: self.password_credential.as_ref(),
        }
    }

    /// The mail server, without its sign-in.
    pub fn server(&self) -> Result<MailServer, String> {
        let address = self.smtp.as_ref().ok_or("`smtp` is missing")?.value.as_str();
        let wrong = || "`smtp` is no address of a mail server".to_string();
        let (scheme, rest) = address.split_once("://").ok_or_else(wrong)?;
        let (usual_port, usual_tls) = match scheme {
            "smtp" => (587, MailTls::Starttls),
            "smtps" => (465, MailTls::Tls),
            _ => return Err(wrong()),
        };
        if rest.contains('@') {
            return Err("`smtp` has a user before the host: set `user` and `password_file`".into());
        }
        let rest = rest.trim_end_matches('/');
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| wrong())?),
            None => (rest, usual_port),
        };
        if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c == '/') {
            return Err(wrong());
        }
        Ok(MailServer { host: host.into(), port, tls: self.tls.unwrap_or(usual_tls), sign_in: None })
    }

    /// What is wrong with it, `of` being the receiver.
    pub fn complain(&self, of: serde_saphyr::Location, all: &mut Vec<PlacedComplaint>) {
        if let Err(error) = self.server() {
            let at = self.smtp.as_ref().map_or(of, |smtp| smtp.referenced);
            all.push(PlacedComplaint::at(at, error, "write for example smtp: \"smtp://mail.example.com:587\""));
        }
        match &self.from {
            None => all.push(PlacedComplaint::at(of, "`from` is missing", "write for example from: squelch@example.com")),
            Some(from) => all.extend(complaint_of_address(from)),
        }
        if self.to.is_empty() {
            all.push(PlacedComplaint::at(of, "`to` names nobody", "write for example to: [team@example.com]"));
        }
        all.extend(self.to.iter().filter_map(complaint_of_address));
        match self.password().place() {
            Err(complaint) => all.push(complaint),
            Ok(place) if place.is_some() != self.user.is_some() => {
                all.push(PlacedComplaint::at(of, "`user` and `password` belong together", "set both, or none"));
            }
            Ok(_) => {}
        }
    }
}

fn complaint_of_address(address: &Spanned<String>) -> Option<PlacedComplaint> {
    let text = address.value.as_str();
    let plain =
        text.len() <= ADDRESS_BYTES_MAX && !text.contains(|c: char| c.is_whitespace() || c.is_control() || "<>,;".contains(c));
    let good = plain && text.rsplit_once('@').is_some_and(|(user, host)| !user.is_empty() && !host.is_empty());
    (!good).then(|| PlacedComplaint::about(address, format!("{text:?} is no mail address"), "write for example team@example.com"))
}

/// Readers of mail.
pub struct Email {
    from: String,
    to: Vec<String>,
    texts: Texts,
}

impl Email {
    /// As set.
    pub fn new(config: &EmailConfig, texts: Texts) -> Self {
        let from = config.from.as_ref().map(|from| from.value.clone()).unwrap_or_default();
        Self { from, to: config.to.iter().map(|to| to.value.clone()).collect(), texts }
    }

    fn message_id(&self, incident: &IncidentView) -> String {
        let domain = self.from.rsplit_once('@').map_or("squelch.invalid", |(_, domain)| domain);
        let revision = incident.revision;
        format!("<{}.{revision}@{domain}>", incident.id)
    }

    fn subject(&self, incident: &IncidentView) -> String {
        let subject = match self.texts.own_part(Part::Title, incident) {
            Some(_) => self.texts.render(Part::Title, incident),
            None if incident.env.is_empty() => incident.title.clone(),
            None => format!("[{}] {}", incident.env, incident.title),
        };
        shortened_chars(&subject.split_whitespace().collect::<Vec<_>>().join(" "), SUBJECT_CHARS_MAX)
    }

    fn text(&self, incident: &IncidentView) -> String {
        let title = self.texts.render(Part::Title, incident);
        format!(
            "{title}\n\n{}\n\n-- \nIncident {}, revision {}\n",
            self.texts.render(Part::Text, incident),
            incident.id,
            incident.revision
        )
    }

    fn html(&self, incident: &IncidentView) -> String {
        let title = escaped(&self.texts.render(Part::Title, incident));
        let text = escaped(&self.texts.render(Part::Text, incident)).replace('\n', "<br>\n");
        let rows: String = incident
            .alerts
            .iter()
            .filter(|alert| alert.firing || !incident.is_open())
            .take(ROWS_MAX)
            .map(|alert| {
                let what = alert.summary.as_deref().unwrap_or(&alert.rule);
                let entity = alert.entity.as_deref().unwrap_or_default();
                let is_cause = alert.entity.is_some() && alert.entity == incident.cause;
                let mark = if is_cause { " <b>(likeliest cause)</b>" } else { "" };
                format!("<tr><td>{}{mark}</td><td>{}</td></tr>\n", escaped(entity), escaped(what))
            })
            .collect();
        let links = self.texts.link(incident).map(|link| (link, "Open the incident")).into_iter();
        let links = links.chain(runbooks(incident).into_iter().map(|runbook| (runbook, "Runbook")));
        let links: String = links
            .filter(|(link, _)| link.starts_with("https://") || link.starts_with("http://"))
            .map(|(link, name)| format!("<p><a href=\"{}\">{name}</a></p>\n", escaped(&link)))
            .collect();
        format!(
            "<!doctype html>\n<html><body>\n<h2>{title}</h2>\n<p>{text}</p>\n<table cellpadding=\"4\">\n{rows}</table>\n{links}\
             <p><small>Incident {}, revision {}</small></p>\n</body></html>\n",
            escaped(&incident.id),
            incident.revision
        )
    }
}

/// Alerts that a mail lists.
const ROWS_MAX: usize = 30;

impl Receiver for Email {
    fn kind(&self) -> &'static str {
        "email"
    }

    fn for_people(&self) -> bool {
        true
    }

    fn wants(&self) -> Wants {
        Wants { edits: false, past: true, all: false }
    }

    fn next(&self, job: &Job<'_>) -> Option<Call> {
        let Job { incident, record, news, .. } = job;
        if record.is_done("mail") || *news == News::Edit {
            return None;
        }
        let first = record.remote.get(FIRST).cloned();
        let subject = record.remote.get(SUBJECT).cloned().unwrap_or_else(|| self.subject(incident));
        let mail = Mail {
            from: self.from.clone(),
            to: self.to.clone(),
            subject,
            message_id: self.message_id(incident),
            in_reply_to: first,
            text: self.text(incident),
            html: self.html(incident),
        };
        Some(Call { step: "mail", only_asks: false, request: Request::Mail(Box::new(mail)) })
    }

    fn read(&self, job: &Job<'_>, call: &Call, answer: &Answer) -> Reading {
        let remote = match &call.request {
            Request::Mail(mail) if *answer == Answer::Accepted && !job.record.remote.contains_key(FIRST) => {
                vec![(FIRST, mail.message_id.clone()), (SUBJECT, mail.subject.clone())]
            }
            _ => Vec::new(),
        };
        Reading { verdict: answer.verdict(), remote }
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
