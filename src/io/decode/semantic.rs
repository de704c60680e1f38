//! Which columns the names that collectors use become: OpenTelemetry's semantic conventions, current and older, the Elastic Common Schema,
//! and what Prometheus, Loki, Datadog and others call the same. One table for all formats, so that a rule finds a service, a host or an
//! environment in the same column whoever sent it.

use std::borrow::Cow;

use crate::io::decode::raw_event::{RawEvent, Text, TextField};

/// What a name means, and its rank: where several names of an event mean the same, the lowest rank counts.
pub type Meaning = (TextField, u8);

/// The meaning of an attribute, a label or a field, whatever the kind of the event.
pub fn meaning_of(name: &str) -> Option<Meaning> {
    Some(match name {
        "service.name" => (TextField::Service, 0),
        "service" | "service_name" => (TextField::Service, 1),
        "app" => (TextField::Service, 2),
        "app.kubernetes.io/name" | "app_kubernetes_io_name" | "k8s.deployment.name" | "kubernetes.labels.app" => {
            (TextField::Service, 3)
        }
        "job" => (TextField::Service, 4),
        "host.name" => (TextField::Host, 0),
        "host" => (TextField::Host, 1),
        "hostname" | "host_name" | "host.hostname" => (TextField::Host, 2),
        "instance" => (TextField::Host, 3),
        "deployment.environment.name" => (TextField::Env, 0),
        "deployment.environment" => (TextField::Env, 1),
        "service.environment" => (TextField::Env, 2),
        "env" => (TextField::Env, 3),
        "environment" | "deployment_environment" | "deployment_environment_name" => (TextField::Env, 4),
        _ => return None,
    })
}

/// The same for the labels of another system's alert, whose `job` and `instance` may be those of an exporter: what it is about is decided
/// where its entity is.
pub fn alert_meaning_of(name: &str) -> Option<Meaning> {
    meaning_of(name).filter(|_| !matches!(name, "job" | "instance" | "app"))
}

/// The same for the fields of a log record.
pub fn log_meaning_of(name: &str) -> Option<Meaning> {
    Some(match name {
        "severity_text" | "log.level" => (TextField::Severity, 0),
        "severity" | "level" | "SeverityText" => (TextField::Severity, 1),
        "loglevel" | "log_level" | "levelname" | "lvl" | "detected_level" => (TextField::Severity, 2),
        "message" => (TextField::Body, 0),
        "msg" | "body" | "Body" => (TextField::Body, 1),
        "log" | "MESSAGE" | "event.original" => (TextField::Body, 2),
        "trace_id" | "trace.id" | "traceId" | "TraceId" | "traceid" | "traceID" => (TextField::TraceId, 0),
        "dd.trace_id" | "otelTraceID" | "trace-id" => (TextField::TraceId, 1),
        other => return meaning_of(other),
    })
}

/// Chooses among the names of one event.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ranks([Option<u8>; crate::io::decode::raw_event::TEXT_FIELDS]);

impl Ranks {
    /// The same where a record follows: a name of its own takes precedence over the same name above it.
    pub fn shared(self) -> Self {
        Self(self.0.map(|rank| rank.map(|rank| rank.saturating_add(1))))
    }

    /// Stores a text where no better name has given one. Empty texts mean nothing.
    pub fn offer<'a>(&mut self, event: &mut RawEvent<'a>, (field, rank): Meaning, name: &str, value: Text<'a>) {
        let known = &mut self.0[field as usize];
        if value.is_empty() || known.is_some_and(|known| known <= rank) {
            return;
        }
        *known = Some(rank);
        let value = match (field, name) {
            (TextField::Host, "instance") => without_port(value),
            (TextField::Severity, _) => log_severity(value),
            _ => value,
        };
        event.texts[field as usize] = Some(value);
    }
}

/// `web-7` of `web-7:9100`, and `::1` of `[::1]:9100`: the host of an address.
pub fn without_port(address: Text<'_>) -> Text<'_> {
    let host_of = |address: &str| -> Option<(usize, usize)> {
        if let Some(rest) = address.strip_prefix('[') {
            return rest.find(']').map(|end| (1, end + 1));
        }
        let (host, port) = address.rsplit_once(':')?;
        (!host.contains(':') && !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())).then_some((0, host.len()))
    };
    match (host_of(&address), address) {
        (Some((start, end)), Cow::Borrowed(text)) => Cow::Borrowed(&text[start..end]),
        (Some((start, end)), Cow::Owned(text)) => Cow::Owned(text[start..end].to_string()),
        (None, address) => address,
    }
}

/// The host or service that a client's address names: without port, and of a Kubernetes service `chat` for `chat.prod.svc.cluster.local`.
pub fn peer_of_address(address: Text<'_>) -> Text<'_> {
    let host = without_port(address);
    let mut parts = host.split('.');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(service), Some(_), Some("svc")) if !service.is_empty() => Cow::Owned(service.to_string()),
        _ => host,
    }
}

/// The severity of a log record in OpenTelemetry's short names, so that rules compare with one word; a word that is unknown stays.
pub fn log_severity(word: Text<'_>) -> Text<'_> {
    let known = match word.trim().to_ascii_lowercase().as_str() {
        "trace" | "finest" | "verbose" => "TRACE",
        "debug" | "fine" | "finer" | "config" | "7" => "DEBUG",
        "info" | "information" | "informational" | "notice" | "ok" | "6" | "5" => "INFO",
        "warn" | "warning" | "4" => "WARN",
        "error" | "err" | "severe" | "3" => "ERROR",
        "fatal" | "critical" | "crit" | "alert" | "emerg" | "emergency" | "panic" | "2" | "1" | "0" => "FATAL",
        _ => return word,
    };
    Cow::Borrowed(known)
}

/// The same for OpenTelemetry's numbers, four to a severity.
pub fn log_severity_of_number(number: i64) -> Option<&'static str> {
    Some(match number {
        1..=4 => "TRACE",
        5..=8 => "DEBUG",
        9..=12 => "INFO",
        13..=16 => "WARN",
        17..=20 => "ERROR",
        21..=24 => "FATAL",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_an_address() {
        for (address, want) in [
            ("web-7:9100", "web-7"),
            ("web-7", "web-7"),
            ("10.0.0.4:80", "10.0.0.4"),
            ("[::1]:9100", "::1"),
            ("::1", "::1"),
            ("web:port", "web:port"),
            ("web:", "web:"),
        ] {
            assert_eq!(without_port(address.into()), want);
            assert_eq!(without_port(address.to_string().into()), want);
        }
        assert_eq!(peer_of_address("chat.prod.svc.cluster.local:80".into()), "chat");
        assert_eq!(peer_of_address("db.example.com".into()), "db.example.com");
    }

    #[test]
    fn the_best_name_counts_in_any_order() {
        let names = [("job", "node"), ("service.name", "chat"), ("app", "x"), ("instance", "web-7:9100")];
        for order in [[0, 1, 2, 3], [3, 2, 1, 0]] {
            let (mut event, mut ranks) = (RawEvent::default(), Ranks::default());
            for at in order {
                let (name, value) = names[at];
                ranks.offer(&mut event, meaning_of(name).unwrap(), name, value.into());
            }
            assert_eq!((event.text(TextField::Service), event.text(TextField::Host)), (Some("chat"), Some("web-7")));
        }
    }
}
