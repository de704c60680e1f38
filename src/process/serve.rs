//! What each address of a process answers: metrics, health and Alertmanager's API on `http.listen`, the intake there and on
//! `intake.listen`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use async_nats::Client;

use crate::io::alertmanager;
use crate::io::files::bounded_text;
use crate::io::http::listener::{Listening, listen};
use crate::io::http::{Router, status, tls};
use crate::io::intake::body::BodyBudget;
use crate::io::intake::endpoint::Intake;
use crate::io::intake::token::{self, Token, Tokens};
use crate::io::intake::{self, syslog};
use crate::io::web;
use crate::io::web::feed::Feed;
use crate::model::limits::TOKEN_FILE_BYTES_MAX;
use crate::process::alertmanager::NatsBackend;
use crate::process::config::Config;
use crate::process::config::intake::{TokenConfig, hash_of};
use crate::process::intake::stream_store::StreamStore;
use crate::process::notify::replies;
use crate::process::telemetry::Telemetry;
use crate::process::telemetry::endpoint::Endpoint;
use crate::process::web as pages;

/// How long requests under way may take at a stop.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// The addresses of a process. They go on until they are shut down, or the process ends.
#[derive(Debug, Default)]
pub(crate) struct Serving {
    listening: Vec<Listening>,
    /// Of the pages: those that listen for news would never end.
    feed: Option<Arc<Feed>>,
}

impl Serving {
    /// Takes no more requests, and answers those under way.
    pub(crate) async fn shut_down(self) {
        if let Some(feed) = self.feed {
            feed.report_progress(|progress| progress.is_closing = true);
        }
        futures::future::join_all(self.listening.into_iter().map(|listening| listening.shut_down(ANSWER_WITHIN))).await;
    }
}

/// Listens on all addresses of a process.
pub(crate) async fn serve(config: &Config, telemetry: &Arc<Telemetry>, client: &Client) -> Result<Serving> {
    let mut serving = Serving::default();
    let intake = intake_of(config, telemetry, client)?;
    if let Some(address) = config.http.listen {
        let mut router = for_people(address, config, telemetry, client, &mut serving);
        let may_send = address.ip().is_loopback() || !config.intake.tokens.is_empty();
        if let Some(replies) = replies::router(config, client, &telemetry.receivers)? {
            router = router.merge(replies);
        }
        match &intake {
            Some(intake) if may_send => router = router.merge(intake::router(Arc::clone(intake))),
            Some(_) => tracing::info!("no intake on http.listen: others can reach {address}, and intake.tokens is empty"),
            None => {}
        }
        listen_for_people(address, web::with_front_door(router), &mut serving).await?;
    }
    let Some(intake) = intake else { return Ok(serving) };
    if let Some(address) = config.intake.syslog_listen {
        let listening = syslog::listen(address, Arc::clone(&intake)).await;
        let address = listening.with_context(|| cannot_listen(address, "intake.syslog_listen"))?;
        tracing::info!("syslog on {address}, TCP and UDP");
    }
    let acceptor = match (&config.intake.tls.cert_file, &config.intake.tls.key_file) {
        (Some(cert), Some(key)) => Some(tls::acceptor(cert, key).context("intake.tls")?),
        _ => None,
    };
    for address in config.intake.listen.0.iter().copied() {
        let router = intake::router(Arc::clone(&intake));
        let listening =
            listen(address, acceptor.clone(), router).await.with_context(|| cannot_listen(address, "intake.listen"))?;
        let scheme = if acceptor.is_some() { "https" } else { "http" };
        tracing::info!("intake on {scheme}://{}", listening.address);
        serving.listening.push(listening);
    }
    Ok(serving)
}

/// Serves pages, the Alertmanager API, metrics and health, for a process that takes nothing in.
pub(crate) async fn serve_pages(config: &Config, telemetry: &Arc<Telemetry>, client: &Client) -> Result<Serving> {
    let mut serving = Serving::default();
    if let Some(address) = config.http.listen {
        let router = for_people(address, config, telemetry, client, &mut serving);
        listen_for_people(address, web::with_front_door(router), &mut serving).await?;
    }
    Ok(serving)
}

/// What people and their tools ask for on `http.listen`.
fn for_people(
    address: SocketAddr,
    config: &Config,
    telemetry: &Arc<Telemetry>,
    client: &Client,
    serving: &mut Serving,
) -> Router {
    let is_private = address.ip().is_loopback();
    let router = status::router(Arc::new(Endpoint(Arc::clone(telemetry))));
    let router = router.merge(alertmanager::router(Arc::new(NatsBackend::new(config, client)), is_private));
    if !is_private {
        tracing::info!("no pages on http.listen: others can reach {address}");
        return router;
    }
    let site = pages::site(config, client);
    serving.feed = Some(Arc::clone(&site.feed));
    router.merge(web::router(site))
}

async fn listen_for_people(address: SocketAddr, router: Router, serving: &mut Serving) -> Result<()> {
    let listening = listen(address, None, router).await.with_context(|| cannot_listen(address, "http.listen"))?;
    tracing::info!("metrics on http://{}/metrics", listening.address);
    if serving.feed.is_some() {
        tracing::info!("pages on http://{}/", listening.address);
    }
    serving.listening.push(listening);
    Ok(())
}

/// Serves metrics, health and what people answer at receivers, for a process that notifies alone.
pub(crate) async fn serve_notifier(config: &Config, telemetry: &Arc<Telemetry>, client: &Client) -> Result<Serving> {
    let mut serving = Serving::default();
    if let Some(address) = config.http.listen {
        let mut router = status::router(Arc::new(Endpoint(Arc::clone(telemetry))));
        if let Some(replies) = replies::router(config, client, &telemetry.receivers)? {
            router = router.merge(replies);
        }
        listen_for_people(address, router, &mut serving).await?;
    }
    Ok(serving)
}

fn cannot_listen(address: SocketAddr, key: &str) -> String {
    format!("cannot listen on {address}: set {key} in squelch.yaml to a free port, or to off")
}

/// The intake; none where there is no subject to publish on.
fn intake_of(config: &Config, telemetry: &Arc<Telemetry>, client: &Client) -> Result<Option<Arc<Intake>>> {
    let settings = &config.intake;
    let Some(subject) = settings.subject(&config.input) else {
        tracing::info!("no intake: none of input.subjects ends in .>, and intake.subject is not set");
        return Ok(None);
    };
    let tokens = settings.tokens.iter().map(token_of).collect::<Result<_>>()?;
    let store = Arc::new(StreamStore::new(client.clone(), subject));
    let budget = BodyBudget::new(settings.body_bytes, settings.in_flight_bytes);
    Ok(Some(Arc::new(Intake::new(store, Tokens(tokens), budget, Arc::clone(&telemetry.intake)))))
}

fn token_of(config: &TokenConfig) -> Result<Token> {
    let name = config.name.clone();
    if let Some(file) = &config.token_file {
        let text = bounded_text::read(file, TOKEN_FILE_BYTES_MAX)
            .with_context(|| format!("cannot read the token of {name}: intake.tokens, token_file: {}", file.display()))?;
        let token = text.trim();
        anyhow::ensure!(!token.is_empty(), "the token of {name} is empty: write it to {}", file.display());
        return Ok(Token { name, hash: token::hash(token.as_bytes()) });
    }
    let hash = config.sha256.as_deref().and_then(hash_of).with_context(|| format!("the token of {name} has no hash"))?;
    Ok(Token { name, hash })
}
