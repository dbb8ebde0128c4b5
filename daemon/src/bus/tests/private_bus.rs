//! A bus of the test's own: `dbus-daemon` on a socket in a temporary directory.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use zbus::Connection;
use zbus::connection::Builder;

const CONFIGURATION: &str = r#"<busconfig>
  <listen>unix:path=@DIRECTORY@/bus</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow own="*"/>
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
  </policy>
  <includedir>@DIRECTORY@/policy</includedir>
</busconfig>
"#;

pub struct PrivateBus {
    directory: TempDir,
    daemon: Child,
}

impl PrivateBus {
    /// Starts a bus on which everything is allowed, but for what `policy` (a file's text) says.
    pub fn start(policy: Option<&str>) -> Self {
        let directory = TempDir::new().unwrap();
        let path = directory.path().to_str().unwrap();
        fs::write(directory.path().join("conf"), CONFIGURATION.replace("@DIRECTORY@", path)).unwrap();
        fs::create_dir(directory.path().join("policy")).unwrap();
        if let Some(text) = policy {
            fs::write(directory.path().join("policy/test.conf"), text).unwrap();
        }
        let daemon = spawn(&directory);
        Self { directory, daemon }
    }

    pub fn address(&self) -> String {
        format!("unix:path={}/bus", self.directory.path().display())
    }

    pub fn builder(&self) -> Builder<'static> {
        Builder::address(self.address().as_str()).method_timeout(Duration::from_secs(20))
    }

    pub fn connect(&self) -> Connection {
        zbus::block_on(self.builder().build()).unwrap()
    }

    /// Starts another daemon at the same address, after [`Self::stop`].
    pub fn start_again(&mut self) {
        self.daemon = spawn(&self.directory);
    }

    pub fn stop(&mut self) {
        self.daemon.kill().unwrap();
        self.daemon.wait().unwrap();
        fs::remove_file(self.directory.path().join("bus")).unwrap();
    }
}

impl Drop for PrivateBus {
    fn drop(&mut self) {
        // It may have been stopped by the test.
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

fn spawn(directory: &TempDir) -> Child {
    let complaints = directory.path().join("stderr");
    let mut daemon = Command::new("dbus-daemon")
        .args(["--nofork", "--nopidfile", "--nosyslog", "--print-address=1", "--config-file"])
        .arg(directory.path().join("conf"))
        .stdout(Stdio::piped())
        .stderr(fs::File::create(&complaints).unwrap())
        .spawn()
        .expect("cannot run dbus-daemon; install the package dbus-daemon");
    let mut address = String::new();
    // It prints its address once it listens.
    BufReader::new(daemon.stdout.take().unwrap()).read_line(&mut address).unwrap();
    assert!(
        address.starts_with("unix:"),
        "dbus-daemon did not start: {}",
        fs::read_to_string(&complaints).unwrap()
    );
    daemon
}
