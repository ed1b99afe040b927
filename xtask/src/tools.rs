//! The tools that tests need, installed where they are missing.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::children::Children;
use crate::failure::Failure;
use crate::workspace::{self, Workspace};

/// A tool from Debian: it is there when `probe` succeeds.
struct Tool {
    package: &'static str,
    probe: &'static [&'static str],
}

/// Where Debian's packages ask whether they may start what they install.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// While it lives, packages that are installed start no servers: the tests start their own, on ports of their own.
struct NoServices {
    declared: bool,
}

const TOOLS: [Tool; 13] = [
    Tool { package: "nodejs", probe: &["node", "--version"] },
    Tool { package: "npm", probe: &["npm", "--version"] },
    Tool { package: "python3-venv", probe: &["python3", "-c", "import venv, ensurepip"] },
    // `wrk --version` prints it and fails, so it is looked for and not run.
    Tool { package: "wrk", probe: &["sh", "-c", "command -v wrk"] },
    Tool { package: "valgrind", probe: &["valgrind", "--version"] },
    Tool { package: "postgresql", probe: &["sh", "-c", "ls /usr/lib/postgresql/*/bin/initdb"] },
    Tool { package: "redis-server", probe: &["redis-server", "--version"] },
    // What servers stand behind.
    Tool { package: "nginx", probe: &["sh", "-c", "command -v nginx || test -x /usr/sbin/nginx"] },
    Tool {
        package: "libnginx-mod-stream",
        probe: &["test", "-e", "/usr/lib/nginx/modules/ngx_stream_module.so"],
    },
    Tool { package: "haproxy", probe: &["sh", "-c", "command -v haproxy || test -x /usr/sbin/haproxy"] },
    Tool { package: "caddy", probe: &["caddy", "version"] },
    Tool { package: "slowhttptest", probe: &["sh", "-c", "command -v slowhttptest"] },
    Tool { package: "openssl", probe: &["openssl", "version"] },
];

/// Makes sure that rustfmt and Clippy are there; a minimal toolchain comes without.
pub(crate) fn rust_components(children: &Children) -> Result<(), Failure> {
    for (subcommand, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        let mut probe = workspace::cargo(subcommand);
        probe.arg("--version");
        if !succeeds(children, probe)? {
            let mut add = Command::new("rustup");
            add.args(["component", "add", component]);
            children.run(add).map_err(|failure| match failure {
                Failure::Interrupted => failure,
                _ => Failure::Setup(format!(
                    "cargo {subcommand} is missing and rustup cannot add it: {failure}"
                )),
            })?;
        }
    }
    Ok(())
}

/// Makes sure that the programs which tests need are there; installs them from Debian's packages as root.
pub(crate) fn debian_packages(children: &Children) -> Result<(), Failure> {
    let mut missing = Vec::new();
    for tool in &TOOLS {
        if !is_there(children, tool)? {
            missing.push(tool.package);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let packages = missing.join(" ");
    let wanted =
        format!("missing: {packages}. Install them (Debian: apt-get install {packages}) and run this again");
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::Setup(format!("{wanted}; only root can install them from here")));
    }
    println!("installing {packages}");
    let _quiet = NoServices::declare()?;
    let attempt = apt_get(children, &["update"]).and_then(|()| {
        apt_get(children, &[&["install", "--yes", "--no-install-recommends"], &*missing].concat())
    });
    attempt.map_err(|failure| match failure {
        Failure::Interrupted => failure,
        _ => Failure::Setup(format!("{wanted}; apt-get did not do it: {failure}")),
    })
}

/// Installs the npm packages of the lock file into `folder`.
pub(crate) fn npm_packages(children: &Children, workspace: &Workspace, folder: &Path) -> Result<(), Failure> {
    once_for(workspace, &folder.join("package-lock.json"), &folder.join("node_modules"), || {
        let mut command = Command::new("npm");
        command.args(["ci", "--no-audit", "--no-fund"]).current_dir(folder);
        children.run(command)
    })
}

/// Makes a virtual environment with the packages of `folder`'s `requirements.txt` and returns its interpreter.
pub(crate) fn python_environment(
    children: &Children,
    workspace: &Workspace,
    folder: &Path,
) -> Result<PathBuf, Failure> {
    let requirements = folder.join("requirements.txt");
    let name = folder.file_name().unwrap_or(OsStr::new("python"));
    let environment = workspace.target.join("xtask/python").join(name);
    let python = environment.join("bin/python");
    once_for(workspace, &requirements, &python, || {
        let mut create = Command::new("python3");
        create.args(["-m", "venv", "--clear"]).arg(&environment);
        children.run(create)?;
        let mut install = Command::new(&python);
        install
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"])
            .arg(&requirements);
        children.run(install)
    })?;
    Ok(python)
}

/// Installs unless `installed` is there and was made from `lock` as it is now.
fn once_for(
    workspace: &Workspace,
    lock: &Path,
    installed: &Path,
    install: impl FnOnce() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let wanted = fs::read(lock).map_err(Failure::file(lock))?;
    let folder = workspace.target.join("xtask/installed");
    // The lock files of different folders have one name.
    let name = lock.strip_prefix(&workspace.root).unwrap_or(lock).to_string_lossy().replace('/', "-");
    let record = folder.join(name);
    if installed.exists() && fs::read(&record).is_ok_and(|recorded| recorded == wanted) {
        return Ok(());
    }
    install()?;
    fs::create_dir_all(&folder).map_err(Failure::file(&folder))?;
    fs::write(&record, wanted).map_err(Failure::file(&record))
}

impl NoServices {
    fn declare() -> Result<Self, Failure> {
        let policy = Path::new(POLICY);
        // One that is there is the machine's own rule.
        let declared = !policy.exists();
        if declared {
            fs::write(policy, "#!/bin/sh\nexit 101\n").map_err(Failure::file(policy))?;
            fs::set_permissions(policy, fs::Permissions::from_mode(0o755)).map_err(Failure::file(policy))?;
        }
        Ok(Self { declared })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.declared {
            let _ = fs::remove_file(POLICY);
        }
    }
}

fn apt_get(children: &Children, arguments: &[&str]) -> Result<(), Failure> {
    let mut command = Command::new("apt-get");
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    children.run(command)
}

fn is_there(children: &Children, tool: &Tool) -> Result<bool, Failure> {
    let Some((program, arguments)) = tool.probe.split_first() else { return Ok(false) };
    let mut command = Command::new(program);
    command.args(arguments);
    succeeds(children, command)
}

fn succeeds(children: &Children, mut command: Command) -> Result<bool, Failure> {
    command.stdout(Stdio::null()).stderr(Stdio::null());
    match children.run(command) {
        Ok(()) => Ok(true),
        Err(Failure::Interrupted) => Err(Failure::Interrupted),
        Err(_) => Ok(false),
    }
}
