//! `squelch notify`: the notifiers alone, on any machine that reaches the NATS server; what they would send; and a drill.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::io::nats::client::connect;
use crate::model::severity::Severity;
use crate::process::cli::answer::{Answer, Terminal};
use crate::process::cli::incident_of;
use crate::process::config::Config;
use crate::process::notify::drill::{self, Drill};
use crate::process::notify::{preview, service};
use crate::process::serve::serve_notifier;
use crate::process::shutdown::{Shutdown, block_on};
use crate::process::telemetry::{Role, Telemetry};

#[derive(Args, Debug)]
pub(crate) struct NotifyArgs {
    /// The configuration: needs `notifiers`
    #[arg(long, value_name = "FILE", default_value = "squelch.yaml")]
    config: PathBuf,
    /// Print what each receiver would be sent of this incident, without its secrets, and send nothing
    #[arg(long, value_name = "INCIDENT", conflicts_with = "drill")]
    preview: Option<String>,
    /// For --preview: the output of a replay that has the incident, instead of NATS
    #[arg(long, value_name = "FILE", requires = "preview")]
    from: Option<PathBuf>,
    /// Publish a fake incident that is marked as a drill, and report who was reached after how long; needs a squelch that notifies
    #[arg(long)]
    drill: bool,
    /// For --drill: the severity
    #[arg(long, value_name = "SEVERITY", default_value = "critical", requires = "drill")]
    severity: String,
    /// For --drill: the environment
    #[arg(long, value_name = "NAME", default_value = "drill", requires = "drill")]
    env: String,
    /// For --drill: labels of the alert, name=value
    #[arg(long, value_name = "LABEL", num_args = 1.., requires = "drill")]
    labels: Vec<String>,
}

/// How long a drill waits for receivers.
const DRILL_WITHIN: Duration = Duration::from_secs(60);

impl NotifyArgs {
    /// Whether it notifies until it is stopped.
    pub(crate) fn is_server(&self) -> bool {
        self.preview.is_none() && !self.drill
    }

    fn config(&self) -> Result<Config> {
        let config = Config::read_or_default(&self.config)?;
        if config.notifiers.is_empty() {
            bail!("there is nobody to notify: name receivers under `notifiers` in squelch.yaml, see docs/notifications.md");
        }
        Ok(config)
    }
}

/// Previews, or drills.
pub(crate) fn run(args: &NotifyArgs, terminal: &mut Terminal) -> Result<Answer> {
    let config = args.config()?;
    if let Some(id) = &args.preview {
        let incident = incident_of::newest(id, args.from.as_deref(), &config)?;
        write!(terminal.out, "{}", preview::preview(&config, &incident, incident.updated_at)?)?;
        return Ok(Answer::Yes);
    }
    let pair = |text: &String| text.split_once('=').map(|(name, value)| (name.to_string(), value.to_string()));
    let labels: Option<BTreeMap<String, String>> = args.labels.iter().map(pair).collect();
    let labels = labels.context("--labels takes name=value, for example team=payments")?;
    let severity: Severity = args.severity.parse()?;
    let drill = Drill { severity, env: args.env.clone(), labels, within: DRILL_WITHIN };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the runtime")?;
    let (report, all_reached) = runtime.block_on(drill::run(&config, &drill))?;
    write!(terminal.out, "{report}")?;
    Ok(if all_reached { Answer::Yes } else { Answer::No })
}

/// Notifies until SIGTERM or Ctrl-C.
pub(crate) fn serve(args: &NotifyArgs) -> Result<()> {
    block_on(notify(args.config()?))
}

async fn notify(config: Config) -> Result<()> {
    let telemetry = Arc::new(Telemetry::default());
    let mut shutdown = Shutdown::listen()?;
    let client = connect::connect(&config.nats).await?;
    let Some(mut notifying) = service::start(&config, &client, &telemetry.receivers).await? else { return Ok(()) };
    telemetry.connected.store(true, Ordering::Relaxed);
    telemetry.set_role(Role::Active(None));
    let serving = serve_notifier(&config, &telemetry, &client).await?;
    tokio::select! {
        () = shutdown.requested() => {}
        ended = notifying.ended() => return ended,
    }
    telemetry.stopping.store(true, Ordering::Relaxed);
    notifying.stop().await;
    serving.shut_down().await;
    tracing::info!("stopped");
    Ok(())
}
