//! Single sign-on through a real provider: who is let in and as what, what becomes of changed groups, and
//! everything that must not be believed.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use fieldpost::central::config::Config;
use fieldpost::central::people::{Actor, Clock, NewPassword};
use fieldpost::central::store::{AuditFilter, Audited, Environment, Member, Of, PageRequest, Role};
use fieldpost::event::Timestamp;
use fieldpost::secret::Secret;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::browser::{Page, encoded, plain_client};
use crate::support::chromium;
use crate::support::fieldpost::{Kind, TestCentral, client, on_both_databases};
use crate::support::provider::{CLIENT_SECRET, Provider, Visitor};

on_both_databases! {
    groups_say_what_somebody_may_do,
    changed_groups_change_roles_and_end_sessions,
    an_account_of_that_address_is_the_persons_once,
    keys_of_people_who_do_not_come_back_rest,
}

const AGENTS: &str = "/t/default/default/inventory/agents";
const ROLES: &str = "leads = \"owner\"\nsoc = \"admin in default/default\"\nstaff = \"viewer\"";

/// A service and its provider, with a clock that the test turns.
struct World {
    central: TestCentral,
    provider: Provider,
    minutes: Arc<AtomicI64>,
    _directory: tempfile::TempDir,
}

impl World {
    async fn start(kind: Kind, accounts: Value) -> World {
        World::start_with(kind, accounts, "domains = [\"example.com\"]", |_| {}).await
    }

    async fn start_with(
        kind: Kind,
        accounts: Value,
        more: &str,
        change: impl FnOnce(&mut Config),
    ) -> World {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut provider = Provider::start().await;
        let minutes = Arc::new(AtomicI64::new(0));
        let turned = Arc::clone(&minutes);
        let clock = Clock::by(move || {
            let turned = turned.load(Ordering::SeqCst) * 60_000_000_000;
            Timestamp(Timestamp::now().0 + turned)
        });
        let mut config = Config {
            database: kind.location(),
            oidc: Some(provider.config(directory.path(), more, ROLES)),
            clock,
            ..Config::default()
        };
        change(&mut config);
        let central = TestCentral::start_with(directory.path(), config).await;
        provider.serve(&central, accounts).await;
        World {
            central,
            provider,
            minutes,
            _directory: directory,
        }
    }

    async fn sign_in(&self, name: &str) -> (Page, Visitor) {
        let mut visitor = Visitor::default();
        let page = visitor.sign_in(&self.central, name, AGENTS).await;
        (page, visitor)
    }

    async fn environment(&self) -> Environment {
        let environments = self.central.central.store.environments().await;
        environments.expect("the store reads").remove(0)
    }

    /// What the audit tells, the latest first.
    async fn audited(&self) -> Vec<Audited> {
        let scope = self.environment().await.scope;
        let page = PageRequest::new(None, Some(1000));
        let store = &self.central.central.store;
        let page = store
            .audited(scope, None, &AuditFilter::default(), page)
            .await;
        page.expect("the store reads").items
    }
}

/// Somebody at the provider, in groups there.
fn account(email: &str, groups: &[&str]) -> Value {
    json!({ "email": email, "email_verified": true, "groups": groups })
}

fn told(entries: &[Audited]) -> Vec<(&str, &str, &str, &str)> {
    entries
        .iter()
        .map(|it| (&*it.action, &*it.object, &*it.before, &*it.after))
        .collect()
}

async fn groups_say_what_somebody_may_do(kind: Kind) {
    let accounts = json!({
        "ada": account("Ada@Example.com", &["soc", "staff"]),
        "joan": account("joan@example.com", &["kitchen"]),
        "mallory": account("mallory@example.org", &["leads"]),
        "eve": { "email": "eve@example.com", "email_verified": false, "groups": ["leads"] },
        "nobody": { "groups": ["leads"] },
    });
    let world = World::start(kind, accounts).await;
    let door = plain_client().get(format!("{}/sign-in", world.central.url));
    let door = Page::read(door).await.body;
    assert!(door.contains("Continue with Example SSO") && door.contains("type=\"password\""));

    let (entered, visitor) = world.sign_in("ada").await;
    assert_eq!(entered.status, StatusCode::SEE_OTHER, "{}", entered.body);
    assert_eq!(
        entered.header("location"),
        AGENTS,
        "she goes on to where she wanted"
    );
    let browser = visitor.browser(&world.central);
    let account = browser
        .get("/t/default/default/settings/account")
        .await
        .body;
    assert!(account.contains("ada@example.com") && account.contains("admin in this"));
    assert!(account.contains("single sign-on"), "the way in is told");
    assert_eq!(
        told(&world.audited().await[..2]),
        [
            ("sign_in", "single sign-on", "", ""),
            ("person.added", "ada@example.com", "", "admin"),
        ]
    );

    for (name, why) in [
        ("joan", "no group of joan@example.com has a role here"),
        ("mallory", "mallory@example.org is not of an allowed domain"),
        ("eve", "does not say that the e-mail address is verified"),
        ("nobody", "does not say the e-mail address"),
    ] {
        let (refused, _) = world.sign_in(name).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{name}");
        assert!(refused.body.contains(why), "{name}: {}", refused.body);
        let last = world.audited().await.remove(0);
        assert_eq!(last.action, "sign_in.failed");
        assert!(last.reason.contains(why), "{}", last.reason);
    }
    let members = world
        .central
        .central
        .store
        .all::<Member>(world.environment().await.scope, Of::Environment);
    assert_eq!(
        members.await.expect("the store reads").len(),
        1,
        "only ada came in"
    );

    // Signing out here is not signing out there, and the page says so.
    let left = browser.post("/sign-out", &[]).await;
    assert_eq!(left.header("location"), "/sign-in?left=true");
    let left = plain_client().get(format!("{}/sign-in?left=true", world.central.url));
    assert!(
        Page::read(left)
            .await
            .body
            .contains("/sign-in/sso/sign-out")
    );
    let mut visitor = visitor;
    let out = visitor
        .get(&format!("{}/sign-in/sso/sign-out", world.central.url))
        .await;
    assert!(
        out.header("location")
            .starts_with(&format!("{}/session/end?", world.provider.issuer))
    );
    assert_eq!(
        visitor.get(out.header("location")).await.status,
        StatusCode::OK
    );
    assert_eq!(browser.get(AGENTS).await.status, StatusCode::SEE_OTHER);
    world.central.stop().await;
}

async fn changed_groups_change_roles_and_end_sessions(kind: Kind) {
    let accounts = json!({ "ada": account("ada@example.com", &["leads"]) });
    let mut world = World::start(kind, accounts).await;
    let (_, first) = world.sign_in("ada").await;
    let first = first.browser(&world.central);
    assert_eq!(first.get(AGENTS).await.status, StatusCode::OK);

    // What follows from groups is changed there, and nowhere else.
    let environment = world.environment().await;
    let actor = Actor::command_line();
    let service = Arc::clone(&world.central.central);
    let by_hand = service
        .change_role(&environment, "ada@example.com", Role::Viewer, &actor)
        .await;
    let by_hand = by_hand.unwrap_err().to_string();
    assert!(by_hand.contains("follows from groups"), "{by_hand}");

    // Nor does a password let her in when the groups do not any more.
    let set = [("new", "a good long password")];
    let settings = "/t/default/default/settings";
    let set = first
        .post(&format!("{settings}/account/password"), &set)
        .await;
    assert_eq!(set.status, StatusCode::CONFLICT);
    let link = [("name", "ada@example.com")];
    let link = first.post(&format!("{settings}/people/link"), &link).await;
    assert_eq!(link.status, StatusCode::CONFLICT);

    // She is the only owner: the provider's word stands above that.
    let accounts = json!({ "ada": account("ada@lovelace.example.com", &["staff"]) });
    world.provider.set(json!({ "accounts": accounts })).await;
    assert_eq!(
        first.get(AGENTS).await.status,
        StatusCode::OK,
        "until the next sign-in"
    );
    let (refused, _) = world.sign_in("ada").await;
    assert_eq!(
        refused.status,
        StatusCode::FORBIDDEN,
        "the new address is of another domain"
    );
    let accounts = json!({ "ada": account("lovelace@example.com", &["staff"]) });
    world.provider.set(json!({ "accounts": accounts })).await;
    let (_, second) = world.sign_in("ada").await;
    let second = second.browser(&world.central);
    assert_eq!(
        first.get(AGENTS).await.status,
        StatusCode::SEE_OTHER,
        "signed out by it"
    );
    let page = second.get("/t/default/default/settings/account").await.body;
    assert!(page.contains("lovelace@example.com") && page.contains("viewer in this"));
    let entry = world.audited().await.remove(1);
    assert_eq!(
        (
            &*entry.action,
            &*entry.before,
            &*entry.after,
            &*entry.reason
        ),
        (
            "role.changed",
            "owner",
            "viewer",
            "groups at the identity provider"
        )
    );

    // Out of every group, she is let in no more, and forgotten.
    let accounts = json!({ "ada": account("lovelace@example.com", &[]) });
    world.provider.set(json!({ "accounts": accounts })).await;
    let (refused, _) = world.sign_in("ada").await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert_eq!(second.get(AGENTS).await.status, StatusCode::SEE_OTHER);
    assert!(service.known_person("lovelace@example.com").await.is_err());
    let removed = world.audited().await;
    assert!(
        removed
            .iter()
            .any(|it| it.action == "person.removed" && it.before == "viewer")
    );
    world.central.stop().await;
}

async fn an_account_of_that_address_is_the_persons_once(kind: Kind) {
    let accounts = json!({
        "ada": account("ada@example.com", &["staff"]),
        "other": account("ada@example.com", &["leads"]),
    });
    let world = World::start(kind, accounts).await;
    let environment = world.environment().await;
    let (service, actor) = (&world.central.central, Actor::command_line());
    let password = NewPassword::Given(Secret::new("a good long password"));
    service
        .add_member(
            &environment,
            "ada@example.com",
            Role::Owner,
            password,
            &actor,
        )
        .await
        .expect("the name is free");
    let (_, visitor) = world.sign_in("ada").await;
    let people = visitor
        .browser(&world.central)
        .get("/t/default/default/settings/people")
        .await;
    assert_eq!(
        people.status,
        StatusCode::OK,
        "what was given by hand stays: she is an owner"
    );
    assert!(
        people.body.contains("Example SSO, password"),
        "{}",
        people.body
    );
    let linked = world.audited().await;
    assert!(
        linked
            .iter()
            .any(|it| it.action == "person.linked" && it.after == "ada")
    );

    // Somebody else who is given the address later does not get the account with it.
    let (refused, _) = world.sign_in("other").await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(refused.body.contains("is the name of another account"));
    world.central.stop().await;
}

async fn keys_of_people_who_do_not_come_back_rest(kind: Kind) {
    let accounts = json!({ "ada": account("ada@example.com", &["staff"]) });
    let more = "keys_rest_after = \"7d\"";
    let world = World::start_with(kind, accounts, more, |_| {}).await;
    let (_, visitor) = world.sign_in("ada").await;
    let form = [("name", "nightly"), ("role", "viewer"), ("days", "365")];
    let made = visitor.browser(&world.central);
    let made = made
        .post("/t/default/default/settings/keys", &form)
        .await
        .body;
    let (_, key) = made.split_once("id=\"api-key\">").expect("a key");
    let key = key.split('<').next().expect("a key").to_owned();
    let asked = async || {
        let url = format!("{}/api/v1/agents", world.central.url);
        let answer = client().get(url).bearer_auth(&key).send().await;
        answer.expect("the service answers").status()
    };
    assert_eq!(asked().await, StatusCode::OK);
    world.minutes.store(7 * 24 * 60 + 1, Ordering::SeqCst);
    assert_eq!(asked().await, StatusCode::UNAUTHORIZED);
    // The provider's clock is not turned, so that is set back before she comes again.
    world.minutes.store(0, Ordering::SeqCst);
    world.sign_in("ada").await;
    assert_eq!(asked().await, StatusCode::OK);
    world.central.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_token_that_is_wrong_in_one_point_lets_nobody_in() {
    let forged = |what: &str| {
        json!({
            "email": "ada@example.com", "email_verified": true, "groups": ["leads"], "forged": what,
        })
    };
    let cases = [
        ("nonce", "nonce is of another sign-in"),
        ("audience", "for another client"),
        ("other-party", "for another client"),
        ("issuer", "of another issuer"),
        ("expired", "has expired"),
        ("future", "made in the future"),
        ("signature", "signature is wrong"),
        ("new-key", "does not publish"),
        ("secret", "signed by HS256"),
        ("unsigned", "cannot be read"),
    ];
    let accounts: serde_json::Map<String, Value> = cases
        .iter()
        .map(|(what, _)| ((*what).to_owned(), forged(what)))
        .collect();
    let mut world = World::start(Kind::Sqlite, Value::Object(accounts.clone())).await;
    for (what, why) in cases {
        let (refused, _) = world.sign_in(what).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{what}");
        assert!(refused.body.contains(why), "{what}: {}", refused.body);
        let cookies = refused.headers.get_all("set-cookie").iter();
        let cookies: Vec<_> = cookies.map(|it| it.to_str().expect("ASCII")).collect();
        let gone = "fieldpost-sso=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0";
        assert_eq!(cookies, [gone], "{what}: no session");
    }

    // A key that the provider publishes later is asked for, though not at once.
    let settings = json!({ "accounts": accounts, "publishes_new_key": true });
    world.provider.set(settings).await;
    let at_once = world.sign_in("new-key").await.0.status;
    assert_eq!(at_once, StatusCode::FORBIDDEN);
    world.minutes.store(1, Ordering::SeqCst);
    let (entered, _) = world.sign_in("new-key").await;
    assert_eq!(entered.status, StatusCode::SEE_OTHER, "{}", entered.body);
    world.central.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_browser_that_began_can_finish() {
    let accounts = json!({ "ada": account("ada@example.com", &["staff"]) });
    let world = World::start(Kind::Sqlite, accounts).await;
    let (mut victim, mut attacker) = (Visitor::default(), Visitor::default());
    let callback = attacker.code(&world.central, "ada", AGENTS).await;
    // The attacker's code in a browser that began nothing, and in one that began something else.
    for begin in [false, true] {
        if begin {
            victim.code(&world.central, "ada", AGENTS).await;
        }
        let refused = victim.get(&callback).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{}", refused.body);
        assert!(refused.body.contains("did not begin this sign-in"));
    }
    // The right state does not help: the code was given for another challenge.
    let own = victim.code(&world.central, "ada", AGENTS).await;
    let parameter = |address: &str, name: &str| {
        let (_, after) = address
            .split_once(&format!("{name}="))
            .expect("a parameter");
        after.split('&').next().expect("a value").to_owned()
    };
    let injected = own.replace(&parameter(&own, "code"), &parameter(&callback, "code"));
    let refused = victim.get(&injected).await;
    assert_eq!(refused.status, StatusCode::BAD_GATEWAY, "{}", refused.body);
    // A code is good once.
    let mut third = Visitor::default();
    let callback = third.code(&world.central, "ada", AGENTS).await;
    assert_eq!(third.get(&callback).await.status, StatusCode::SEE_OTHER);
    assert_eq!(
        third.get(&callback).await.status,
        StatusCode::BAD_REQUEST,
        "the cookie is used up"
    );
    world.central.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_provider_demands_pkce() {
    let accounts = json!({ "ada": account("ada@example.com", &["staff"]) });
    let world = World::start(Kind::Sqlite, accounts).await;
    let mut visitor = Visitor::default();
    let begin = format!("{}/sign-in/sso", world.central.url);
    let begun = visitor.get(&begin).await;
    let address = begun.header("location").to_owned();
    assert!(address.contains("code_challenge_method=S256&") || address.ends_with("=S256"));
    let (without, _) = address.split_once("&code_challenge=").expect("a challenge");
    let refused = visitor.at_the_provider(without, "ada").await;
    assert!(refused.contains("error=invalid_request"), "{refused}");

    // Whoever has the code and even the client's secret, but not the verifier, gets no token.
    let callback = visitor.at_the_provider(&address, "ada").await;
    let (_, code) = callback.split_once("code=").expect("a code");
    let code = code.split('&').next().expect("a code");
    let redirect = encoded(&format!("{}/sign-in/sso/callback", world.central.url));
    for verifier in [
        "",
        "&code_verifier=0123456789012345678901234567890123456789012",
    ] {
        let body =
            format!("grant_type=authorization_code&code={code}&redirect_uri={redirect}{verifier}");
        let answer = plain_client()
            .post(format!("{}/token", world.provider.issuer))
            .basic_auth("fieldpost", Some(encoded(CLIENT_SECRET)))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body);
        let answer = Page::read(answer).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert!(answer.body.contains("invalid_grant"), "{}", answer.body);
    }
    world.central.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_can_be_switched_off() {
    let accounts = json!({ "ada": account("ada@example.com", &["leads"]) });
    let world = World::start_with(Kind::Sqlite, accounts, "", |config| {
        config.has_passwords = false;
    });
    let mut world = world.await;
    world.provider.set(json!({ "id_token_claims": true })).await;
    let url = &world.central.url;
    let door = Page::read(plain_client().get(format!("{url}/sign-in")))
        .await
        .body;
    assert!(door.contains("Continue with Example SSO") && !door.contains("type=\"password\""));
    let tried = plain_client()
        .post(format!("{url}/sign-in"))
        .header("sec-fetch-site", "same-origin")
        .header("content-type", "application/x-www-form-urlencoded")
        .body("name=ada%40example.com&password=a+good+long+password&next=");
    assert_eq!(Page::read(tried).await.status, StatusCode::CONFLICT);

    let (_, visitor) = world.sign_in("ada").await;
    let owner = visitor.browser(&world.central);
    let people = "/t/default/default/settings/people";
    let page = owner.get(people).await.body;
    assert!(page.contains("by groups") && !page.contains("Make a sign-in link"));
    let link = [("name", "ada@example.com")];
    let refused = owner.post(&format!("{people}/link"), &link).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    let set = [("new", "a good long password")];
    let refused = owner
        .post("/t/default/default/settings/account/password", &set)
        .await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    let account = owner.get("/t/default/default/settings/account").await.body;
    assert!(!account.contains("type=\"password\""));
    // The command line lets in whoever the provider cannot.
    let (service, actor) = (&world.central.central, Actor::command_line());
    let link = service.sign_in_link("ada@example.com", &actor).await;
    let link = link.expect("the store writes");
    crate::support::browser::Browser::enter(link.url.expose()).await;
    world.central.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_down_is_told_and_passwords_still_let_in() {
    let accounts = json!({ "ada": account("ada@example.com", &["leads"]) });
    let world = World::start(Kind::Sqlite, accounts).await;
    let World {
        central,
        provider,
        _directory,
        ..
    } = world;
    drop(provider);
    let begun = plain_client().get(format!("{}/sign-in/sso", central.url));
    let begun = Page::read(begun).await;
    assert_eq!(begun.status, StatusCode::BAD_GATEWAY);
    assert!(
        begun
            .body
            .contains("The identity provider does not answer as it should.")
    );
    assert!(
        begun.body.contains("type=\"password\""),
        "the other way in stands beside it"
    );
    central.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_browser_goes_to_the_provider_and_back() {
    let accounts = json!({ "ada": account("ada@example.com", &["leads"]) });
    let mut world = World::start(Kind::Sqlite, accounts).await;
    world.provider.set(json!({ "visitor": "ada" })).await;
    let url = format!("{}/sign-in/sso?next={}", world.central.url, encoded(AGENTS));
    let page = chromium::dump_dom_after(&url, 10_000).await;
    assert!(page.contains("<title>Agents"), "{page}");
    assert!(page.contains("ada@example.com"));
    world.central.stop().await;
}

#[test]
fn a_configuration_that_would_let_nobody_or_anybody_in_is_refused() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let exposed = directory.path().join("exposed");
    std::fs::write(&exposed, "secret").expect("the directory is writable");
    let mistakes = |text: &str| match Config::parse(text, &|_| None) {
        Ok(_) => String::new(),
        Err(mistakes) => mistakes.to_string(),
    };
    let good = "[oidc]\nissuer = \"https://login.example.com\"\nclient_id = \"x\"\n";
    let roles = "[oidc.roles]\n\"a.b\" = \"viewer\"\n";
    assert_eq!(mistakes(&format!("{good}{roles}")), "");
    for (text, told) in [
        (good.to_owned(), "oidc.roles is missing"),
        (good.replace("https", "http"), "oidc.issuer: expected"),
        (
            good.replace("client_id", "name"),
            "oidc.client_id is missing",
        ),
        (
            format!("{good}domains = [\"*.example.com\"]\n{roles}"),
            "oidc.domains",
        ),
        (
            format!("{good}scopes = [\"email\"]\n{roles}"),
            "\"openid\" must be among them",
        ),
        (
            format!("{good}[oidc.roles]\na = \"root\"\n"),
            "oidc.roles.a: expected a role",
        ),
        (
            format!(
                "{good}client_secret_file = \"{}\"\n{roles}",
                exposed.display()
            ),
            "chmod o-rwx",
        ),
        ("[sign_in]\npasswords = false\n".to_owned(), "set [oidc]"),
    ] {
        let found = mistakes(&text);
        assert!(found.contains(told), "{text}: {found}");
    }
}
