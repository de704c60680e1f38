//! A real nats-server for one test: its own port, its own store, ended with the test.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A running server.
pub struct NatsServer {
    child: Child,
    args: Vec<String>,
    pub port: u16,
    pub dir: TempDir,
}

fn spawn(dir: &TempDir, port: u16, args: &[String]) -> Child {
    let program = std::env::var("NATS_SERVER").unwrap_or_else(|_| "nats-server".into());
    let mut command = Command::new(&program);
    command.args(["-a", "127.0.0.1", "-p", &port.to_string(), "-c"]);
    command.arg(dir.path().join("nats.conf")).arg("-sd").arg(dir.path().join("store")).args(args);
    let log = std::fs::File::create(dir.path().join("nats.log")).unwrap();
    command
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}: run ./scripts/test-tools, or set NATS_SERVER=path"))
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl NatsServer {
    /// A server with JetStream.
    pub fn start() -> Self {
        Self::with(&["-js"], "")
    }

    /// A server with these arguments and this configuration.
    pub fn with(args: &[&str], config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let port = free_port();
        let file = dir.path().join("nats.conf");
        std::fs::write(&file, config).unwrap();
        let args: Vec<String> = args.iter().map(ToString::to_string).collect();
        let server = Self { child: spawn(&dir, port, &args), args, port, dir };
        server.wait();
        server
    }

    /// So many servers that are one cluster.
    #[allow(dead_code, reason = "benchmarks read this file too, and need no cluster")]
    pub fn cluster(number: usize) -> Vec<Self> {
        let ports: Vec<u16> = (0..number).map(|_| free_port()).collect();
        let routes: Vec<String> = ports.iter().map(|port| format!("\"nats://127.0.0.1:{port}\"")).collect();
        let routes = routes.join(", ");
        let one = |(at, port): (usize, &u16)| {
            let cluster = format!("cluster {{ name: test, listen: \"127.0.0.1:{port}\", routes: [{routes}] }}");
            Self::with(&["-js"], &format!("server_name: server-{at}\n{cluster}\n"))
        };
        ports.iter().enumerate().map(one).collect()
    }

    /// Kills the server.
    #[allow(dead_code, reason = "benchmarks read this file too, and kill nothing")]
    pub fn stop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Kills the server and starts it anew, at the same port over the same store.
    #[allow(dead_code, reason = "benchmarks read this file too, and restart nothing")]
    pub fn restart(&mut self) {
        self.stop();
        self.child = spawn(&self.dir, self.port, &self.args);
        self.wait();
    }

    fn wait(&self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let log = || std::fs::read_to_string(self.dir.path().join("nats.log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "nats-server does not listen: {}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        // The test is over either way.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
