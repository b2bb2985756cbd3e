//! `fieldpost edge install` and `uninstall`

use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use fieldpost::edge::config::queue_directory;
use fieldpost::edge::control::client::ClientError;
use fieldpost::edge::install::{self, Package, Person, Removal, Step, Wanted};
use fieldpost::edge::queue::IdleQueue;
use fieldpost::secret::{self, Secret};
use fieldpost::words;

use super::flush::{self, drain};
use super::socket::Socket;

/// Times that a busy edge is drained before the removal is given up.
const ROUNDS: usize = 3;

#[derive(Args)]
pub(in crate::cli) struct Arguments {
    /// Where records go: the endpoint that the portal shows. Needed where /etc/fieldpost/edge.toml is
    /// not written yet.
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// Where to listen, if 127.0.0.1:4318 and [::1]:4318 are taken. Can be given twice.
    #[arg(long, value_name = "ADDRESS")]
    listen: Vec<SocketAddr>,
    /// Read the token from standard input. Never give it as an argument: every user sees those.
    #[arg(long, conflicts_with = "token_file")]
    token_stdin: bool,
    /// Read the token from a file that nobody else can read.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Tell Claude to export to this edge, in /etc/claude-code/managed-settings.d/10-fieldpost.json.
    #[arg(long, conflicts_with = "user")]
    configure_claude: bool,
    /// The company's own NO_PROXY, to which loopback is added [default: what Claude's other managed settings and
    /// /etc/environment say].
    #[arg(long, value_name = "LIST", requires = "configure_claude")]
    no_proxy: Option<String>,
    #[command(flatten)]
    place: Place,
}

#[derive(Args)]
pub(in crate::cli) struct Leaving {
    /// Remove configuration, token and what waits on disk as well.
    #[arg(long)]
    purge: bool,
    /// How long to wait until what is queued has been delivered.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = flush::time)]
    timeout: Duration,
    /// Remove all the same when not everything could be delivered.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    socket: Socket,
}

#[derive(Args)]
struct Place {
    /// List the steps, and do none.
    #[arg(long)]
    dry_run: bool,
    /// Another root than /, such as an image's. Nothing is started there.
    #[arg(long, value_name = "FOLDER", default_value = "/")]
    root: PathBuf,
    /// For yourself, without root's rights: a service of your own, with files below your home.
    #[arg(long, conflicts_with = "root")]
    user: bool,
}

/// Installs, or says what it would do.
pub(super) fn install(arguments: &Arguments) -> anyhow::Result<()> {
    linux_only()?;
    let wanted = Wanted {
        endpoint: arguments.endpoint.clone(),
        listen: arguments.listen.clone(),
        token: token(arguments)?,
        configure_claude: arguments.configure_claude,
        no_proxy: arguments.no_proxy.clone(),
    };
    let (steps, token) = if arguments.place.user {
        let person = person()?;
        (person.install(&wanted)?, person.token())
    } else {
        let root = &arguments.place.root;
        let steps = install::install(root, &wanted)?;
        (steps, root.join("etc/fieldpost/token"))
    };
    perform(&steps, arguments.place.dry_run)?;
    if arguments.place.dry_run {
        return Ok(());
    }
    let flag = if arguments.place.user { " --user" } else { "" };
    if !token.exists() {
        println!(
            "there is no token yet: records wait on disk; run `fieldpost edge install{flag} --token-stdin`"
        );
    }
    if arguments.place.user {
        tell_person()?;
    }
    println!("`fieldpost edge doctor` says whether it works");
    Ok(())
}

fn person() -> anyhow::Result<Person> {
    Person::find(&crate::cli::variable)
}

/// What root would have done, and a person's own systemd does not do.
fn tell_person() -> anyhow::Result<()> {
    if !person()?.has_manager() {
        println!(
            "your systemd does not run here: sign in, then \
             `systemctl --user enable --now fieldpost-edge.socket fieldpost-edge.service`"
        );
    }
    println!("it ends when you sign out, unless you run `loginctl enable-linger` once");
    println!("`fieldpost edge env` prints what tells Claude to export to it");
    Ok(())
}

/// Waits until what is queued is delivered, and takes the service away.
pub(super) async fn uninstall(arguments: &Leaving) -> anyhow::Result<()> {
    linux_only()?;
    let Place { root, dry_run, .. } = &arguments.place;
    let removal = match arguments.place.user {
        true => person()?.uninstall(arguments.purge),
        false => install::uninstall(root, arguments.purge),
    };
    match root == Path::new("/") && !dry_run {
        true => settle(arguments, &removal).await?,
        false => perform(&removal.stop, *dry_run)?,
    }
    perform(&removal.remove, *dry_run)?;
    if arguments.place.user {
        if !arguments.purge {
            let file = person()?.configuration();
            println!(
                "kept: {} with what is beside it, and the records",
                file.display()
            );
        }
        return Ok(());
    }
    match Package::find(root) {
        Some(Package::Edge) => println!(
            "the package is still installed: apt remove fieldpost-edge, or dnf remove fieldpost-edge"
        ),
        Some(Package::Central) => println!("kept: the program, which belongs to fieldpost-central"),
        None => {}
    }
    if !arguments.purge {
        println!(
            "kept: /etc/fieldpost and /var/lib/fieldpost (removed with --purge), and the account fieldpost"
        );
    }
    Ok(())
}

/// Has everything delivered, and stops the service. What clients sent in between was acknowledged, so that it is
/// delivered as well before anything is removed for good: what lies on disk after the end tells.
async fn settle(arguments: &Leaving, removal: &Removal) -> anyhow::Result<()> {
    let is_careful = arguments.purge && !arguments.force;
    for _ in 0..ROUNDS {
        let runs = deliver(arguments).await?;
        anyhow::ensure!(
            runs || !is_careful || is_empty(arguments)?,
            "records wait on disk, and the edge is not running: start it, or say --force to remove them unseen"
        );
        perform(&removal.stop, false)?;
        if !is_careful || is_empty(arguments)? {
            return Ok(());
        }
        println!("records came meanwhile: they are delivered first");
        perform(&removal.start, false)?;
    }
    anyhow::bail!(
        "records keep coming, and nothing was removed: exit Claude first, or say --force to remove unseen what comes last"
    )
}

/// Whether nothing waits on disk, where no edge has the queue any more.
fn is_empty(arguments: &Leaving) -> anyhow::Result<bool> {
    let usual = || queue_directory("", &crate::cli::variable);
    let directory = arguments.socket.queue()?.unwrap_or_else(usual);
    // Without its marker it is no queue, or one of which an earlier removal has left a part.
    if !directory.join("format").exists() {
        return Ok(true);
    }
    let queue = IdleQueue::open(&directory).with_context(|| {
        let shown = directory.display();
        format!("whether records wait in {shown} is not known; say --force to remove them unseen")
    })?;
    let mut segments = queue.segments().into_iter();
    Ok(segments.all(|segment| segment.settled >= segment.end))
}

/// Waits until what is queued is delivered; false when no edge is running.
async fn deliver(arguments: &Leaving) -> anyhow::Result<bool> {
    let client = arguments.socket.client()?;
    let (is_over, status) = match drain(&client, arguments.timeout).await {
        Ok(drained) => drained,
        Err(error) if is_not_running(&error) => {
            println!("the edge is not running; what is queued stays on disk");
            return Ok(false);
        }
        Err(error) => return Err(error),
    };
    if is_over {
        println!("everything that waited is delivered, or parked");
        return Ok(true);
    }
    let reason = status.problems.first().cloned().unwrap_or_default();
    let waits = words::plural(
        status.queue.records as usize,
        "record waits",
        "records wait",
    );
    anyhow::ensure!(
        arguments.force,
        "{waits} and could not be delivered within {} s: {reason}; \
         wait for longer with --timeout, or say --force",
        arguments.timeout.as_secs()
    );
    println!("{waits}: {reason}");
    Ok(true)
}

fn is_not_running(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<ClientError>();
    matches!(error, Some(ClientError::NotRunning(_)))
}

fn perform(steps: &[Step], is_dry: bool) -> anyhow::Result<()> {
    for step in steps {
        match (step.is_done(), is_dry) {
            (true, _) => println!("done already: {step}"),
            (false, true) => println!("would {step}"),
            (false, false) => {
                step.apply()?;
                println!("done: {step}");
            }
        }
    }
    Ok(())
}

fn token(arguments: &Arguments) -> anyhow::Result<Option<Secret>> {
    let read = match &arguments.token_file {
        Some(file) => secret::read_file(file)?,
        None if arguments.token_stdin => {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .context("cannot read the token from standard input")?;
            Secret::new(text)
        }
        None => return Ok(None),
    };
    let token = secret::bare_token(read.expose());
    anyhow::ensure!(!token.is_empty(), "the token is empty");
    anyhow::ensure!(
        !token.contains(char::is_whitespace),
        "the token has white space in it: give it alone, on one line"
    );
    Ok(Some(Secret::new(token)))
}

fn linux_only() -> anyhow::Result<()> {
    anyhow::ensure!(
        cfg!(target_os = "linux"),
        "this installs on Linux only; packaging/README.md says how it is done here"
    );
    Ok(())
}
