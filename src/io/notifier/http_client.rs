//! Sends HTTP requests to receivers: no redirects, since only the addresses in the settings are called; an end to each request; as much of an
//! answer as counts.

use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Method};

use crate::model::limits::RECEIVER_ANSWER_BYTES_MAX;
use crate::notify::call::{Answer, HttpRequest};

/// A client for one receiver.
#[derive(Clone)]
pub struct HttpClient(Client);

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum NoClient {
    /// The certificates of `ca_file`.
    #[error("ca_file {file}: {cause}")]
    Certificates {
        /// The file.
        file: String,
        /// Why.
        cause: String,
    },
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(reqwest::Error),
}

impl HttpClient {
    /// A client that waits for an answer for so long. `ca_file` holds certificates of authorities besides the system's.
    pub fn new(timeout: Duration, ca_file: Option<&std::path::Path>) -> Result<Self, NoClient> {
        // Another part of the process may have chosen before: the choice is the same.
        drop(rustls::crypto::ring::default_provider().install_default());
        let mut builder = Client::builder()
            .user_agent(concat!("squelch/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            .connect_timeout(timeout)
            .timeout(timeout);
        if let Some(file) = ca_file {
            let fail = |cause: String| NoClient::Certificates { file: file.display().to_string(), cause };
            let text = std::fs::read(file).map_err(|error| fail(error.to_string()))?;
            let certificates = Certificate::from_pem_bundle(&text).map_err(|error| fail(error.to_string()))?;
            builder = builder.tls_certs_merge(certificates);
        }
        builder.build().map(Self).map_err(NoClient::Tls)
    }

    /// Sends a request and reads the answer.
    pub async fn send(&self, request: &HttpRequest) -> Answer {
        let method = match request.method {
            "GET" => Method::GET,
            "PATCH" => Method::PATCH,
            _ => Method::POST,
        };
        let mut sending = self.0.request(method, &request.url).body(request.body.clone());
        for (name, value) in &request.headers {
            sending = sending.header(*name, value);
        }
        let mut answer = match sending.send().await {
            Ok(answer) => answer,
            Err(error) if error.is_builder() => return Answer::RefusedForGood(in_words(&error)),
            Err(error) if error.is_connect() => return Answer::NotSent(in_words(&error)),
            Err(error) => return Answer::Unknown(in_words(&error)),
        };
        let status = answer.status().as_u16();
        let retry_after_s = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let mut body = Vec::new();
        loop {
            match answer.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() <= RECEIVER_ANSWER_BYTES_MAX => body.extend_from_slice(&chunk),
                Ok(Some(_) | None) => break,
                // What counts is the status, unless the body says whether it worked.
                Err(_) if !(200..300).contains(&status) => break,
                Err(error) => return Answer::Unknown(in_words(&error)),
            }
        }
        Answer::Http { status, retry_after_s, body }
    }
}

/// The error with its causes, and without the address: it may hold a secret.
fn in_words(error: &reqwest::Error) -> String {
    let what = if error.is_timeout() { "no answer in time" } else { "no connection" };
    let mut innermost: Option<String> = None;
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        innermost = Some(error.to_string());
        cause = error.source();
    }
    match innermost {
        Some(cause) if !error.is_timeout() => format!("{what}: {cause}"),
        _ => what.into(),
    }
}
