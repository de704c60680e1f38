//! Sends mails to one mail server.

use std::time::Duration;

use lettre::message::header::{Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use tokio::time::timeout;

use crate::notify::call::{Answer, Mail};
use crate::notify::receivers::email::{MailServer, MailTls};

/// A client of one mail server.
#[derive(Clone)]
pub struct SmtpClient {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    within: Duration,
}

/// Codes that say that the sign-in is wrong or missing.
const SIGN_IN_CODES: [u16; 5] = [530, 534, 535, 538, 554];

impl SmtpClient {
    /// A client that waits for an answer for so long.
    pub fn new(server: &MailServer, within: Duration, ca_file: Option<&std::path::Path>) -> Result<Self, String> {
        // Another part of the process may have chosen before: the choice is the same.
        drop(rustls::crypto::ring::default_provider().install_default());
        let mut parameters = TlsParameters::builder(server.host.clone());
        if let Some(file) = ca_file {
            let fail = |error: String| format!("ca_file {}: {error}", file.display());
            let text = std::fs::read(file).map_err(|error| fail(error.to_string()))?;
            parameters = parameters.add_root_certificate(Certificate::from_pem(&text).map_err(|error| fail(error.to_string()))?);
        }
        let parameters = parameters.build_rustls().map_err(|error| format!("TLS cannot be set up: {error}"))?;
        let tls = match server.tls {
            MailTls::Starttls => Tls::Required(parameters),
            MailTls::Tls => Tls::Wrapper(parameters),
            MailTls::None => Tls::None,
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(server.host.clone())
            .port(server.port)
            .tls(tls)
            .timeout(Some(within));
        if let Some((user, password)) = &server.sign_in {
            builder = builder.credentials(Credentials::new(user.clone(), password.0.clone()));
        }
        Ok(Self { transport: builder.build(), within })
    }

    /// Sends a mail, and waits until the server has taken it.
    pub async fn send(&self, mail: &Mail) -> Answer {
        let message = match message(mail) {
            Ok(message) => message,
            Err(error) => return Answer::RefusedForGood(error),
        };
        // Each step of the conversation has an end of its own: together they have another one.
        match timeout(self.within * 4, self.transport.send(message)).await {
            Ok(Ok(_)) => Answer::Accepted,
            Ok(Err(error)) => answer(&error),
            Err(_) => Answer::Unknown("no answer in time".into()),
        }
    }
}

fn answer(error: &lettre::transport::smtp::Error) -> Answer {
    let text = in_words(error);
    let code = error.status().map(u16::from);
    if code.is_some_and(|code| SIGN_IN_CODES.contains(&code)) {
        return Answer::RefusedSignIn(text);
    }
    if error.is_permanent() {
        return Answer::RefusedForGood(text);
    }
    if error.is_transient() {
        return Answer::RefusedForNow(text);
    }
    if error.is_tls() || error.is_client() {
        return Answer::NotSent(text);
    }
    // The connection may have ended after the mail was taken.
    Answer::Unknown(text)
}

fn in_words(error: &lettre::transport::smtp::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if !text.contains(&error.to_string()) {
            text += &format!(": {error}");
        }
        cause = error.source();
    }
    text
}

fn message(mail: &Mail) -> Result<Message, String> {
    let mailbox = |address: &str| address.parse::<Mailbox>().map_err(|error| format!("{address:?}: {error}"));
    let mut builder = Message::builder()
        .from(mailbox(&mail.from)?)
        .subject(mail.subject.clone())
        .message_id(Some(mail.message_id.clone()))
        .header(AutoSubmitted)
        .header(AutoResponseSuppress);
    for to in &mail.to {
        builder = builder.to(mailbox(to)?);
    }
    if let Some(first) = &mail.in_reply_to {
        builder = builder.in_reply_to(first.clone()).references(first.clone());
    }
    let body = MultiPart::alternative_plain_html(mail.text.clone(), mail.html.clone());
    builder.multipart(body).map_err(|error| error.to_string())
}

/// No machine is to answer.
#[derive(Clone)]
struct AutoSubmitted;

/// The same, for Exchange.
#[derive(Clone)]
struct AutoResponseSuppress;

macro_rules! fixed_header {
    ($header:ident, $name:literal, $value:literal) => {
        impl Header for $header {
            fn name() -> HeaderName {
                HeaderName::new_from_ascii_str($name)
            }

            fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
                Ok(Self)
            }

            fn display(&self) -> HeaderValue {
                HeaderValue::new(Self::name(), $value.into())
            }
        }
    };
}

fixed_header!(AutoSubmitted, "Auto-Submitted", "auto-generated");
fixed_header!(AutoResponseSuppress, "X-Auto-Response-Suppress", "All");
