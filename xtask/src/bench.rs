//! `cargo xtask bench`: the benches that measure times. What they show is in benches/README.md.

use crate::children::Children;
use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::tools;
use crate::workspace::{Profile, Workspace};

/// A bench: its name and what it measures.
pub(crate) struct Bench {
    name: &'static str,
    measures: &'static str,
}

/// The one that needs no server.
const ENGINE: &str = "engine";
/// The one that needs PostgreSQL.
const REPLICAS: &str = "replicas";

static BENCHES: [Bench; 7] = [
    Bench { name: "throughput", measures: "requests a second, as a share of bare hyper's" },
    Bench { name: ENGINE, measures: "evaluation alone, beside two other engines" },
    Bench {
        name: "reload",
        measures: "building and swapping the pipeline, idle and a thousand times under load",
    },
    Bench { name: "start", measures: "starts with 1,000 and 100,000 flags, and changes of one of them" },
    Bench { name: REPLICAS, measures: "changes of one of 100,000 flags, as another instance sees them" },
    Bench { name: "streams", measures: "10,000 event streams: memory, and how soon a change reaches them" },
    Bench { name: "sign-ins", measures: "evaluation while a thousand people a second sign in" },
];

/// Prints which there are.
pub(crate) fn list() {
    println!("Usage: cargo xtask bench <NAME>\n\nBenches:");
    for Bench { name, measures } in &BENCHES {
        println!("  {name:<12}{measures}");
    }
}

/// The one of this name.
pub(crate) fn find(name: &str) -> Option<&'static Bench> {
    BENCHES.iter().find(|bench| bench.name == name)
}

impl Bench {
    /// Builds and installs what it needs and runs it.
    pub(crate) fn run(&self) -> Result<bool, Failure> {
        let children = Children::new()?;
        let workspace = Workspace::load(&children)?;
        match self.name {
            ENGINE => engine(&children, &workspace)?,
            name => whole_server(&children, &workspace, name)?,
        }
        Ok(true)
    }
}

/// Evaluation alone, in a workspace of its own.
fn engine(children: &Children, workspace: &Workspace) -> Result<(), Failure> {
    let mut command = workspace.cargo("bench");
    command
        .arg("--manifest-path")
        .arg(workspace.root.join("benches/engine/Cargo.toml"))
        .arg("--target-dir")
        .arg(&workspace.target);
    children.run(command)
}

/// A module of benches/main.rs, which speaks to the release build from outside.
fn whole_server(children: &Children, workspace: &Workspace, name: &str) -> Result<(), Failure> {
    tools::debian_packages(children)?;
    let binary = workspace.build(children, Profile::Release)?;
    let mut programs = workspace.cargo("build");
    programs.args(["--release", "--package", "bench-programs", "--bins"]);
    children.run(programs)?;
    let mut command = workspace.cargo("test");
    command
        .args(["--package", "flagstone", "--test", "benches", "--"])
        .args(["--exact", &format!("{}::measure", name.replace('-', "_")), "--nocapture"])
        .env("FLAGSTONE_BIN", binary)
        .env("FLAGSTONE_BENCH_PROGRAMS", workspace.target.join("release"));
    let cluster = (name == REPLICAS).then(|| Cluster::start(children)).transpose()?;
    if let Some(cluster) = &cluster {
        cluster.show_to(&mut command);
    }
    children.run(command)
}
