//! The program as a service: its socket, its pid file, whom it runs as.

use std::path::{Path, PathBuf};

use super::report::Report;
use super::section::{Section, boolean};
use super::tree::Node;

/// The keys `unix-command`, `pid-file` and `run-as`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    pub unix_command: UnixCommand,
    pub pid_file: Option<PathBuf>,
    pub run_as: Option<RunAs>,
}

/// The section `unix-command`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixCommand {
    pub enabled: bool,
    /// Absolute: a relative name is under `/run/tidegate`.
    pub filename: PathBuf,
}

impl Default for UnixCommand {
    fn default() -> Self {
        UnixCommand { enabled: true, filename: Path::new(RUN_DIR).join("tidegate-command.socket") }
    }
}

/// The section `run-as`. CAP_NET_ADMIN is kept: the kernel asks for it at each verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunAs {
    pub user: String,
    pub group: Option<String>,
}

impl Service {
    /// `pid-file` stands at the top of the file, the others are sections.
    pub(super) fn read(root: &mut Section<'_>, report: &mut Report) -> Service {
        let mut service = Service { unix_command: UnixCommand::read(root, report), ..Service::default() };
        root.read("pid-file", "a file name", &mut service.pid_file, report, |text| in_run_dir(text).map(Some));
        let run_as = root.find("run-as");
        service.run_as = RunAs::read(run_as, report);
        service
    }
}

impl UnixCommand {
    fn read(root: &mut Section<'_>, report: &mut Report) -> UnixCommand {
        let mut command = UnixCommand::default();
        let mut section = root.section("unix-command", report);
        section.read("enabled", "yes, no or auto", &mut command.enabled, report, |text| {
            if text == "auto" { Some(true) } else { boolean(text) }
        });
        section.read("filename", "a file name", &mut command.filename, report, in_run_dir);
        section.finish(report);
        command
    }
}

impl RunAs {
    fn read(node: Option<&Node>, report: &mut Report) -> Option<RunAs> {
        let mut section = Section::new("run-as", node, report);
        let (mut user, mut group) = (None, None);
        let name = |text: &str| (!text.is_empty()).then(|| Some(text.to_owned()));
        section.read("user", "the name of a user", &mut user, report, name);
        section.read("group", "the name of a group", &mut group, report, name);
        section.finish(report);
        if let (Some(node), None, Some(_)) = (node, &user, &group) {
            report.rule(&node.place, "run-as.group", "needs run-as.user too");
        }
        user.map(|user| RunAs { user, group })
    }
}

fn in_run_dir(text: &str) -> Option<PathBuf> {
    (!text.is_empty()).then(|| Path::new(RUN_DIR).join(text))
}

const RUN_DIR: &str = "/run/tidegate";
