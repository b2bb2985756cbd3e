//! `fieldpost central user`

use std::io::{IsTerminal, Read};

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};
use fieldpost::central::Central;
use fieldpost::central::people::{Actor, NewPassword};
use fieldpost::central::store::{self, Environment, Of, Role};
use fieldpost::secret::Secret;
use serde_json::{Value, json};

use super::{List, Place, lines, print};

#[derive(Subcommand)]
pub(crate) enum UserCommand {
    /// Let somebody into an environment; the account is made when there is none of that name.
    Add(Add),
    /// List the people of an environment.
    List(Place),
    /// Give somebody another role in an environment; it signs the person out.
    Role(ChangeRole),
    /// Set somebody's password; it signs the person out.
    Password(Password),
    /// Make a link that lets somebody in once, within an hour.
    Link(Named),
    /// Take somebody out of an environment; the account goes with its last one.
    Remove(Member),
    /// Sign somebody out of every browser.
    SignOut(Named),
}

#[derive(Args)]
pub(crate) struct Add {
    /// The name to sign in with: an e-mail address, or a word.
    name: String,
    /// What the person may do there.
    #[arg(long, value_enum, default_value_t = UserRole::Viewer)]
    role: UserRole,
    #[command(flatten)]
    password: PasswordSource,
    /// Make no password: a link lets the person in.
    #[arg(long, conflicts_with = "password_stdin")]
    no_password: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Args)]
pub(crate) struct PasswordSource {
    /// Read the password from standard input; without this, one is made and shown once.
    #[arg(long)]
    password_stdin: bool,
}

#[derive(Args)]
pub(crate) struct ChangeRole {
    /// The person's name.
    name: String,
    /// The new role.
    #[arg(value_enum)]
    role: UserRole,
    #[command(flatten)]
    place: Place,
}

#[derive(Args)]
pub(crate) struct Password {
    /// The person's name.
    name: String,
    #[command(flatten)]
    password: PasswordSource,
    #[command(flatten)]
    list: List,
}

#[derive(Args)]
pub(crate) struct Named {
    /// The person's name.
    name: String,
    #[command(flatten)]
    list: List,
}

#[derive(Args)]
pub(crate) struct Member {
    /// The person's name.
    name: String,
    #[command(flatten)]
    place: Place,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum UserRole {
    /// Read, but no content.
    Viewer,
    /// That, manage tokens and keys, and see content after a reveal with a reason.
    Admin,
    /// Everything: content, people, retention.
    Owner,
}

impl From<UserRole> for Role {
    fn from(role: UserRole) -> Role {
        match role {
            UserRole::Viewer => Role::Viewer,
            UserRole::Admin => Role::Admin,
            UserRole::Owner => Role::Owner,
        }
    }
}

pub(super) async fn run(command: UserCommand) -> anyhow::Result<()> {
    let actor = Actor::command_line();
    match command {
        UserCommand::Add(add) => self::add(add, &actor).await,
        UserCommand::List(place) => list(place).await,
        UserCommand::Role(change) => {
            let (central, environment) = change.place.open().await?;
            let role = change.role.into();
            central
                .change_role(&environment, &change.name, role, &actor)
                .await?;
            let told = json!({ "name": change.name, "role": role });
            print(change.place.list.json, &told, |_| {
                format!("{} is {} now", change.name, role.word())
            });
            Ok(())
        }
        UserCommand::Password(password) => self::password(password, &actor).await,
        UserCommand::Link(named) => link(named, &actor).await,
        UserCommand::Remove(member) => {
            let (central, environment) = member.place.open().await?;
            central
                .remove_member(&environment, &member.name, &actor)
                .await?;
            let told = json!({ "removed": member.name });
            print(member.place.list.json, &told, |_| "removed".to_owned());
            Ok(())
        }
        UserCommand::SignOut(Named { name, list }) => {
            let central = list.file.open().await?;
            let person = central.known_person(&name).await?;
            let ended = central.sign_out_everywhere(&person, &actor).await?;
            print(list.json, &json!({ "signed_out": ended }), |_| {
                format!("signed out of {ended} browsers")
            });
            Ok(())
        }
    }
}

async fn add(add: Add, actor: &Actor) -> anyhow::Result<()> {
    let password = match add.no_password {
        true => NewPassword::None,
        false => add.password.read()?,
    };
    let (central, environment): (Central, Environment) = add.place.open().await?;
    let made = central
        .add_member(&environment, &add.name, add.role.into(), password, actor)
        .await?;
    let told = json!({
        "name": add.name,
        "role": Role::from(add.role),
        "password": made.as_ref().map(Secret::expose),
    });
    print(add.place.list.json, &told, |_| match &made {
        Some(password) => format!(
            "{} is {}; the password, shown once: {}",
            add.name,
            Role::from(add.role).word(),
            password.expose()
        ),
        None => format!("{} is {}", add.name, Role::from(add.role).word()),
    });
    Ok(())
}

async fn list(place: Place) -> anyhow::Result<()> {
    let (central, environment) = place.open().await?;
    let members = central
        .store
        .all::<store::Member>(environment.scope, Of::Environment)
        .await?;
    print(place.list.json, &members, |members| {
        lines(members, |member| {
            let seen = member
                .last_seen
                .map_or(String::new(), |at| format!("  last seen {at}"));
            format!("{}  {}{seen}", member.person.name, member.role.word())
        })
    });
    Ok(())
}

async fn password(command: Password, actor: &Actor) -> anyhow::Result<()> {
    let password = command.password.read()?;
    let central = command.list.file.open().await?;
    let person = central.known_person(&command.name).await?;
    let made = central
        .change_password(&person, password, None, actor)
        .await?;
    let told: Value = json!({ "name": person.name, "password": made.as_ref().map(Secret::expose) });
    print(command.list.json, &told, |_| match &made {
        Some(password) => format!("the password, shown once: {}", password.expose()),
        None => "the password is set".to_owned(),
    });
    Ok(())
}

async fn link(Named { name, list }: Named, actor: &Actor) -> anyhow::Result<()> {
    let central = list.file.open().await?;
    let link = central.sign_in_link(&name, actor).await?;
    let told = json!({ "url": link.url.expose(), "expires_at": link.expires_at });
    print(list.json, &told, |_| {
        format!(
            "{}\nlets {} in once, until {}",
            link.url.expose(),
            link.person,
            link.expires_at
        )
    });
    Ok(())
}

impl PasswordSource {
    fn read(&self) -> anyhow::Result<NewPassword> {
        if !self.password_stdin {
            return Ok(NewPassword::Made);
        }
        let mut input = std::io::stdin();
        if input.is_terminal() {
            eprintln!("Type the password, then Enter and Ctrl-D:");
        }
        let mut text = String::new();
        input
            .read_to_string(&mut text)
            .context("the password cannot be read from standard input")?;
        Ok(NewPassword::Given(Secret::new(
            text.trim_end_matches(['\r', '\n']),
        )))
    }
}
