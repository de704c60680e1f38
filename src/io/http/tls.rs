//! TLS for an address that listens: a certificate with its key, from PEM files that are read at the start.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// Why TLS cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or holds something else.
    #[error("{path}: {cause}: a PEM file with {what} is needed")]
    File {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// Why it cannot be used.
        cause: String,
    },
    /// Certificate and key do not fit, or cannot be used.
    #[error("{cert} with {key}: {cause}")]
    Pair {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        cause: rustls::Error,
    },
}

/// What accepts TLS connections with this certificate. HTTP/2 is offered besides HTTP/1.1.
pub fn acceptor(cert: &Path, key: &Path) -> Result<TlsAcceptor, TlsError> {
    let file = |path: &Path, what, cause: String| TlsError::File { path: path.into(), what, cause };
    let certificates = |error: rustls::pki_types::pem::Error| file(cert, "certificates", error.to_string());
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_file_iter(cert).and_then(Iterator::collect).map_err(certificates)?;
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| file(key, "a private key", error.to_string()))?;
    let pair = |cause| TlsError::Pair { cert: cert.into(), key: key.into(), cause };
    // Named, as a process that knows two providers of cryptography would have to choose.
    let versions = ServerConfig::builder_with_provider(Arc::new(ring::default_provider())).with_safe_default_protocol_versions();
    let mut config = versions.map_err(pair)?.with_no_client_auth().with_single_cert(chain, secret).map_err(pair)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
