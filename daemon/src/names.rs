//! Every public name of traceleft that is not a journal field or an event: bus names, paths, identifiers.

/// Version of the daemon, as the bus property `Version` and `--version` give it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Well-known name on the system bus.
pub const BUS_NAME: &str = "org.traceleft1";
/// Object that carries the manager interface; watches are objects below [`WATCH_PATH`].
pub const MANAGER_PATH: &str = "/org/traceleft1";
/// Parent of the watch objects: `/org/traceleft1/watch/3`.
pub const WATCH_PATH: &str = "/org/traceleft1/watch";

/// `SYSLOG_IDENTIFIER=` of audit records.
pub const RECORD_IDENTIFIER: &str = "traceleft";
/// `SYSLOG_IDENTIFIER=` of the daemon's own messages.
pub const DAEMON_IDENTIFIER: &str = "traceleftd";

/// Directories that hold configuration, strongest first, each below the root directory.
pub const CONFIG_DIRS: [&str; 3] = ["etc/traceleft", "run/traceleft", "usr/lib/traceleft"];
/// The daemon's settings, in one of [`CONFIG_DIRS`].
pub const CONFIG_FILE: &str = "traceleftd.toml";
/// Directory of policies, in each of [`CONFIG_DIRS`].
pub const POLICY_DIR: &str = "policy.d";

/// Group of our probe definitions in tracefs.
pub const TRACEFS_GROUP: &str = "traceleft";

/// Unit that does each event once, before the daemon says that it is ready.
pub const SELF_TEST_UNIT: &str = "traceleft-self-test.service";
