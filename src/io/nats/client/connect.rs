//! Connects to NATS; an error tells what to do.

use std::time::Duration;

use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event};

use crate::io::nats::NatsError;
use crate::io::nats::client::settings::{NatsConfig, SignIn};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Connects. The client repairs later interruptions itself: it reconnects for ever.
pub async fn connect(config: &NatsConfig) -> Result<Client, NatsError> {
    let servers = config.servers_without_secrets().join(", ");
    let mut options = ConnectOptions::new()
        .name(&config.name)
        .connection_timeout(CONNECT_TIMEOUT)
        .require_tls(config.tls.required)
        .event_callback(|event| async move { log(&event) });
    options = match config.sign_in_of_servers() {
        Some(SignIn::Password { user, password }) => options.user_and_password(user, password),
        Some(SignIn::Token(token)) => options.token(token),
        None => as_configured(options, config).await?,
    };
    if let Some(file) = &config.tls.ca_file {
        options = options.add_root_certificates(file.clone());
    }
    if let (Some(cert), Some(key)) = (&config.tls.cert_file, &config.tls.key_file) {
        options = options.add_client_certificate(cert.clone(), key.clone());
    }
    options.connect(&config.addresses()[..]).await.map_err(|error| match error.kind() {
        ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
            NatsError::SignIn { servers: servers.clone() }
        }
        // The client reports an invalid certificate as an error of the connection.
        kind if kind == ConnectErrorKind::Tls || error.to_string().contains("certificate") => {
            NatsError::Tls { servers: servers.clone(), cause: error.to_string() }
        }
        _ => NatsError::NoServer { servers: servers.clone(), cause: error.to_string() },
    })
}

async fn as_configured(mut options: ConnectOptions, config: &NatsConfig) -> Result<ConnectOptions, NatsError> {
    if let (Some(user), Some(password)) = (&config.user, &config.password) {
        options = options.user_and_password(user.clone(), password.clone());
    }
    if let Some(token) = &config.token {
        options = options.token(token.clone());
    }
    if let Some(file) = &config.creds_file {
        let fail = |cause| NatsError::Credentials { path: file.display().to_string(), cause };
        options = options.credentials_file(file).await.map_err(fail)?;
    }
    Ok(options)
}

fn log(event: &Event) {
    match event {
        Event::Connected => tracing::info!("connected to NATS"),
        Event::Disconnected => tracing::warn!("the connection to NATS is lost; reconnecting"),
        other => tracing::warn!("NATS: {other}"),
    }
}
