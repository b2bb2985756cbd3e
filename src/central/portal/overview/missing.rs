//! What is missing, or at risk: the first thing on the page.

use crate::central::Central;
use crate::central::drift::{fell_away, since};
use crate::central::portal::drift;
use crate::central::portal::event_row::Tag;
use crate::central::portal::integrations::rejected_words;
use crate::central::portal::machines;
use crate::central::portal::shell::Here;
use crate::central::portal::text::short_id;
use crate::central::store::{
    Concern as MachineConcern, Criteria, Fleet, Machine, MachineRules, PageRequest, Pick,
    StoreError, TokenLife, TokenRefusal, TokenRejection, expires_soon,
};
use crate::event::{DAY, Timestamp};
use crate::words;

/// Something that is missing, or may be.
pub(super) struct Concern {
    pub(super) tag: Tag,
    pub(super) detail: String,
    pub(super) href: String,
}

/// Requests that were refused are a concern for so long after the latest of them.
const REFUSED_LATELY: i64 = 7 * DAY;

/// Machines that are named one by one; where more are missing or at risk, they are counted.
const NAMED_MACHINES: i64 = 12;

/// Everything that is known to be missing or at risk.
pub(super) async fn missing(
    here: &Here,
    central: &Central,
    now: Timestamp,
) -> Result<Vec<Concern>, StoreError> {
    let mut concerns = Vec::new();
    concerns.extend(of_machines(here, central, now).await?);
    concerns.extend(of_clients(here, central, now).await?);
    let refusals = central.store.token_refusals(here.scope()).await?;
    let rejections = central.store.token_rejections(here.scope()).await?;
    for token in central.store.token_lives(here.scope()).await? {
        let refusals = refusals.get(&token.id).map_or(&[][..], Vec::as_slice);
        concerns.extend(of_token(here, &token, refusals, now));
        let rejections = rejections.get(&token.id).map_or(&[][..], Vec::as_slice);
        concerns.extend(
            rejections
                .iter()
                .filter_map(|it| of_rejection(here, &token, it, now)),
        );
    }
    Ok(concerns)
}

/// What is missing of machines: of few machines, each by its name; of many, how many there are.
async fn of_machines(
    here: &Here,
    central: &Central,
    now: Timestamp,
) -> Result<Vec<Concern>, StoreError> {
    let (store, scope) = (&central.store, here.scope());
    let fleet = store.fleet(scope, &Criteria::default(), now).await?;
    if fleet.concerned_count > NAMED_MACHINES {
        let rules = store.machine_rules(scope).await?;
        let counted = fleet.concerns.iter();
        return Ok(counted
            .map(|(about, machines)| of_fleet(here, *about, *machines, &fleet, &rules))
            .collect());
    }
    if fleet.concerned_count == 0 {
        return Ok(Vec::new());
    }
    let any = Criteria {
        picks: vec![Pick {
            facet: "concern",
            value: MachineConcern::ANY.to_owned(),
            is_excluded: false,
        }],
        ..Criteria::default()
    };
    let page = PageRequest::new(None, u32::try_from(NAMED_MACHINES).ok());
    let machines = store.list::<Machine>(scope, &any, now, page).await?;
    let concerns = machines
        .items
        .iter()
        .flat_map(|machine| of_machine(here, machine, now));
    Ok(concerns.collect())
}

/// What clients used to tell and no longer do.
async fn of_clients(
    here: &Here,
    central: &Central,
    now: Timestamp,
) -> Result<Vec<Concern>, StoreError> {
    let (store, scope) = (&central.store, here.scope());
    let fell = fell_away(store, scope, now).await?;
    let mut concerns: Vec<Concern> = fell
        .iter()
        .map(|fell| Concern {
            tag: Tag::new("alert", "warn", drift::words_of(fell)),
            detail: format!(
                "{} events looked at; what is missing did not happen, or is not told",
                words::count(fell.event_count)
            ),
            href: drift::page_of(here, fell),
        })
        .collect();
    let silent = store.silent_sessions(scope, since(now), now).await?;
    if !silent.is_empty() {
        let sessions = words::plural(silent.len(), "session", "sessions");
        concerns.push(Concern {
            tag: Tag::new(
                "alert",
                "warn",
                format!("{sessions} with metrics, but no events"),
            ),
            detail: "Their clients went on, and stopped to tell what happens".to_owned(),
            href: here.base.inventory("drift"),
        });
    }
    Ok(concerns)
}

fn records(count: i64) -> String {
    words::plural(
        usize::try_from(count).unwrap_or(usize::MAX),
        "record",
        "records",
    )
}

/// One concern about so many machines.
fn of_fleet(
    here: &Here,
    about: MachineConcern,
    machines: i64,
    fleet: &Fleet,
    rules: &MachineRules,
) -> Concern {
    let count = words::plural(
        usize::try_from(machines).unwrap_or(0),
        "machine",
        "machines",
    );
    let (tone, words, detail) = match about {
        MachineConcern::Unexplained => (
            "danger",
            format!("{count} with records missing without a reason"),
            format!("{} unexplained", records(fleet.unexplained)),
        ),
        MachineConcern::Dropped => (
            "warn",
            format!("{count} with records that did not come, with a reason"),
            format!("{} by the edges' own counts", records(fleet.dropped)),
        ),
        MachineConcern::Silent => (
            "warn",
            format!("{count} silent"),
            format!(
                "Usually there on working days, and not for the last {}",
                rules.silent_after_days
            ),
        ),
        MachineConcern::Parked => (
            "warn",
            format!("{count} with records that were refused for good"),
            format!("{} kept on the machines", records(fleet.parked)),
        ),
        MachineConcern::Token => (
            "warn",
            format!("{count} with a token that has expired or expires within 30 days"),
            "An edge whose token has expired keeps its records until it has another".to_owned(),
        ),
        MachineConcern::Clock => (
            "warn",
            format!("{count} with a clock that is off"),
            "Times of their records are off by as much".to_owned(),
        ),
    };
    Concern {
        tag: Tag::new("machine", tone, words),
        detail,
        href: machines::of_concern(here, about),
    }
}

fn of_machine(here: &Here, machine: &Machine, now: Timestamp) -> Vec<Concern> {
    let name = machines::link(here, machine);
    let concern = |tone, words: String| Concern {
        tag: Tag::new("machine", tone, words),
        detail: machines::one_line(machine),
        href: name.href.clone(),
    };
    let host = &name.hover;
    let about = MachineConcern::of(machine, now).map(|about| match about {
        MachineConcern::Unexplained => {
            let missing = records(machine.missing);
            let words = format!("{host}: {missing} missing without a reason");
            concern("danger", words)
        }
        MachineConcern::Dropped => {
            let numbers: i64 = machine.dropped.iter().map(|it| it.numbers).sum();
            let dropped = records(machine.dropped_records().max(numbers));
            let words = format!("{host}: {dropped} did not come, with a reason");
            concern("warn", words)
        }
        MachineConcern::Silent => {
            let since = machine.last_heartbeat.map_or(String::new(), |at| {
                format!(", last heartbeat {}", words::ago(at, now))
            });
            concern("warn", format!("{host}: silent{since}"))
        }
        MachineConcern::Parked => {
            let parked = records(machine.parked_records.unwrap_or(0));
            let words = format!("{host}: {parked} refused for good and kept on the machine");
            concern("warn", words)
        }
        MachineConcern::Token => {
            let ends = machine.token_expires_at.map_or(0, |at| at.0);
            let words = match ends.saturating_sub(now.0) {
                ..=0 => format!("{host}: its token has expired"),
                left => format!("{host}: its token expires in {}", words::span(left)),
            };
            concern("warn", words)
        }
        MachineConcern::Clock => concern("warn", format!("{host}: its clock is off")),
    });
    about.collect()
}

/// Records that were rejected these days while the rest of their request was stored.
fn of_rejection(
    here: &Here,
    token: &TokenLife,
    rejection: &TokenRejection,
    now: Timestamp,
) -> Option<Concern> {
    let is_late = rejection.last_rejected.0 > now.0.saturating_sub(REFUSED_LATELY);
    is_late.then(|| Concern {
        tag: Tag::new(
            "alert",
            "warn",
            format!("{} rejected", records(rejection.record_count)),
        ),
        detail: format!(
            "With token {}: {}; their senders were told",
            short_id(&token.id),
            rejected_words(&rejection.reason)
        ),
        href: here.base.token(&token.id),
    })
}

/// A token with which somebody is refused these days, also one that was revoked: its sender is not heard; and
/// one that ends soon.
fn of_token(
    here: &Here,
    token: &TokenLife,
    refusals: &[TokenRefusal],
    now: Timestamp,
) -> Option<Concern> {
    let lately = refusals
        .iter()
        .filter(|refusal| refusal.last_refused.0 > now.0.saturating_sub(REFUSED_LATELY));
    let refused: i64 = lately.map(|refusal| refusal.request_count).sum();
    let name = short_id(&token.id);
    let is_live = token.revoked_at.is_none() && token.expires_at > now;
    let words = if refused > 0 {
        format!(
            "Token {name}: {} refused",
            words::plural(
                usize::try_from(refused).unwrap_or(usize::MAX),
                "request",
                "requests"
            )
        )
    } else if is_live && expires_soon(token.expires_at, now) {
        format!(
            "Token {name} expires in {}",
            words::span(token.expires_at.0 - now.0)
        )
    } else {
        return None;
    };
    Some(Concern {
        tag: Tag::new("key", "warn", words),
        detail: "Its senders are heard only while it is good; its page says why.".to_owned(),
        href: here.base.token(&token.id),
    })
}
