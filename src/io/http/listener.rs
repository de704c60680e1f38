//! An address that listens: takes connections up to a limit, speaks HTTP/1.1 and HTTP/2 with or without TLS, and closes what sends no
//! request in time. It knows nothing of what is asked: that is the router's.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::model::limits::{HTTP_CONNECTIONS_MAX, HTTP_STREAMS_PER_CONNECTION_MAX};

/// How long a connection may take to send the head of a request, and lie idle between two.
const HEAD_WITHIN: Duration = Duration::from_secs(75);
/// How long a TLS handshake may take.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// How long to wait where no connection can be taken, as when the process has no file descriptors left.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(200);
/// How often HTTP/2 asks a silent peer whether it still lives, and how long it may take to answer.
const PING_EVERY: Duration = Duration::from_secs(60);
const PONG_WITHIN: Duration = Duration::from_secs(20);

/// An address that listens. It goes on until it is shut down, or the process ends.
#[derive(Debug)]
pub struct Listening {
    /// The address, whose port may have been left open.
    pub address: SocketAddr,
    stop: watch::Sender<bool>,
}

impl Listening {
    /// Takes no more connections, and waits until the requests under way are answered, but no longer than `within`.
    pub async fn shut_down(self, within: Duration) {
        self.stop.send_replace(true);
        // Whoever still holds a receiver is a connection.
        drop(timeout(within, self.stop.closed()).await);
    }
}

/// Binds the address and answers what comes with the router.
pub async fn listen(address: SocketAddr, tls: Option<TlsAcceptor>, router: Router) -> std::io::Result<Listening> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(accept(listener, tls, router, stopped));
    Ok(Listening { address, stop })
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, router: Router, mut stopped: watch::Receiver<bool>) {
    let room = Arc::new(Semaphore::new(HTTP_CONNECTIONS_MAX));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.wait_for(|stopped| *stopped) => return,
        };
        match accepted {
            Ok((stream, _)) => {
                // Answers are small, and whoever waits for one sends nothing meanwhile.
                drop(stream.set_nodelay(true));
                tokio::spawn(connection(stream, tls.clone(), router.clone(), permit, stopped.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot take a connection; trying again");
                sleep(ACCEPT_AGAIN_AFTER).await;
            }
        }
    }
}

async fn connection(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    router: Router,
    _room: OwnedSemaphorePermit,
    stopped: watch::Receiver<bool>,
) {
    match tls {
        None => serve(stream, router, stopped).await,
        Some(tls) => match timeout(HANDSHAKE_WITHIN, tls.accept(stream)).await {
            Ok(Ok(stream)) => serve(stream, router, stopped).await,
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        },
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, router: Router, mut stopped: watch::Receiver<bool>) {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(HTTP_STREAMS_PER_CONNECTION_MAX)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PONG_WITHIN);
    let mut serving = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)));
    let stop = async move { drop(stopped.wait_for(|stopped| *stopped).await) };
    let served = tokio::select! {
        served = &mut serving => served,
        () = stop => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "a connection ended");
    }
}
