//! The parts that events lie in: one for each month, made ahead, and one for dates that nobody expected. What
//! lies in the default part when its month is made moves over.
//!
//! Once there are a million events a day, the month to come is parted by day: its part is a table with parts of
//! its own, one for each day and one for days that are gone. Months that have begun stay as they are. An older
//! version takes such a month for any other.

use deadpool_postgres::Transaction;
use jiff::ToSpan;
use jiff::civil::{Date, Time};
use jiff::tz::Offset;
use tokio_postgres::error::SqlState;

use crate::central::store::StoreError;
use crate::event::Timestamp;

use super::Postgres;

/// Months that are made before they begin.
const MONTHS_AHEAD: i32 = 3;

/// Months before the present one that are made, too: for edges that come back after a long time.
const MONTHS_BEHIND: i32 = 2;

/// Events of one day from which on the month to come is parted by day.
const BUSY_DAY: i64 = 1_000_000;

/// Days that are looked at for that.
const BUSY_DAYS: i64 = 7;

/// Events of clocks that are wrong, in a month to come, that are moved when it is parted.
const MAX_MOVED: i64 = 100_000;

/// How long a month's parting waits for those who hold the table, in milliseconds; whoever comes meanwhile waits
/// behind it.
const PARTING_TIMEOUT: u32 = 2_000;

/// Advisory lock of whoever makes or drops parts.
pub(super) const PARTITION_LOCK: i64 = 0x6669_656c_6470_0003;

/// The tables that are parted, with what the name of a part begins with.
pub(super) const PARTED: [&str; 1] = ["events"];

/// A part of a table, for a month or a day.
struct Part {
    name: String,
    /// The day after its last one.
    end: Date,
    /// Whether it has parts of its own.
    is_parted: bool,
}

impl Postgres {
    /// Makes the parts of the months around now that are not there.
    pub(in crate::central::store) async fn make_partitions(&self) -> Result<(), StoreError> {
        let this_month = today().first_of_month();
        let mut client = self.client().await?;
        let transaction = client.transaction().await?;
        lock(&transaction).await?;
        for months in -MONTHS_BEHIND..=MONTHS_AHEAD {
            let month = this_month.saturating_add(months.months());
            for table in PARTED {
                make_partition(&transaction, table, month).await?;
            }
        }
        transaction.commit().await?;
        drop(client);
        // On its last day, a month may have begun for somebody's clock.
        let next = this_month.saturating_add(1.month());
        if today().saturating_add(1.day()) < next && self.is_busy().await? {
            for table in PARTED {
                self.part_by_day(table, next).await?;
            }
        }
        Ok(())
    }

    /// Drops the parts before `cut` that hold nothing any more.
    pub(super) async fn drop_partitions(&self, cut: Timestamp) -> Result<(), StoreError> {
        let oldest_made = today()
            .first_of_month()
            .saturating_sub(MONTHS_BEHIND.months());
        let is_over = |part: &Part| start(part.end) <= cut.0;
        let mut client = self.client().await?;
        let transaction = client.transaction().await?;
        lock(&transaction).await?;
        for table in PARTED {
            for month in partitions(&transaction, table, table).await? {
                if is_over(&month) && month.end <= oldest_made {
                    drop_if_empty(&transaction, &month).await?;
                } else if month.is_parted {
                    let days = partitions(&transaction, table, &month.name).await?;
                    for day in days.iter().filter(|day| is_over(day)) {
                        drop_if_empty(&transaction, day).await?;
                    }
                }
            }
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Whether there were a million events on one of the last days, of all tenants.
    async fn is_busy(&self) -> Result<bool, StoreError> {
        let client = self.client().await?;
        let since = Timestamp::now().days_before(BUSY_DAYS).0 / 1_000_000_000;
        let busy = client
            .query_one(
                "SELECT EXISTS (
                     SELECT FROM environments e JOIN rollups r ON r.tenant = e.tenant
                         AND r.environment = e.id AND r.span = 86400 AND r.subject = 'all'
                     WHERE r.start >= $1 GROUP BY r.start HAVING sum(r.event_count) >= $2::bigint)",
                &[&since, &BUSY_DAY],
            )
            .await?;
        Ok(busy.get(0))
    }

    /// Parts a month by day that has not begun. When too much is there already, or others hold the table for
    /// too long, it stays as it is until the next attempt.
    async fn part_by_day(&self, table: &str, month: Date) -> Result<(), StoreError> {
        let mut client = self.client().await?;
        let transaction = client.transaction().await?;
        lock(&transaction).await?;
        let parts = partitions(&transaction, table, table).await?;
        let name = part_name(table, month);
        if !parts.iter().any(|it| it.name == name && !it.is_parted) {
            return Ok(());
        }
        transaction
            .batch_execute(&days_of(table, month, &name))
            .await?;
        // Up to here nobody waited.
        let locked = transaction
            .batch_execute(&format!(
                "SET LOCAL lock_timeout = {PARTING_TIMEOUT};
                 LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"
            ))
            .await;
        if let Err(error) = &locked
            && error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE)
        {
            tracing::info!(month = name, "is parted by day when fewer hold the table");
            return Ok(());
        }
        locked?;
        let count = format!("SELECT count(*) FROM (SELECT FROM {name} LIMIT {MAX_MOVED} + 1) AS f");
        if transaction.query_one(&count, &[]).await?.get::<_, i64>(0) > MAX_MOVED {
            tracing::warn!(month = name, "holds too many events to be parted by day");
            return Ok(());
        }
        let (from, to) = (start(month), start(month.saturating_add(1.month())));
        transaction
            .batch_execute(&format!(
                "ALTER TABLE {table} DETACH PARTITION {name};
                 INSERT INTO {name}_days SELECT * FROM {name};
                 DROP TABLE {name};
                 ALTER TABLE {name}_days RENAME TO {name};
                 ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ({from}) TO ({to});"
            ))
            .await?;
        transaction.commit().await?;
        tracing::info!(month = name, "is parted by day: there are so many events");
        Ok(())
    }
}

/// Waits for others who make or drop parts.
async fn lock(transaction: &Transaction<'_>) -> Result<(), StoreError> {
    transaction
        .execute("SELECT pg_advisory_xact_lock($1)", &[&PARTITION_LOCK])
        .await?;
    Ok(())
}

/// The parts of a table or of one of its months, but for those without a date.
async fn partitions(
    transaction: &Transaction<'_>,
    table: &str,
    of: &str,
) -> Result<Vec<Part>, StoreError> {
    let rows = transaction
        .query(
            "SELECT c.relname::text, c.relkind = 'p' FROM pg_inherits i
             JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = $1::text::regclass",
            &[&of],
        )
        .await?;
    let parts = rows.iter().filter_map(|row| {
        let name: String = row.get(0);
        let end = end_of(name.strip_prefix(table)?.strip_prefix('_')?)?;
        Some(Part {
            name,
            end,
            is_parted: row.get(1),
        })
    });
    Ok(parts.collect())
}

/// The day after a month, such as `2026_12`, or after a day, such as `2026_12_05`.
fn end_of(name: &str) -> Option<Date> {
    let numbers = name.split('_').map(|number| number.parse::<i16>().ok());
    let numbers = numbers.collect::<Option<Vec<i16>>>()?;
    let date = |year, month: i16, day: i16| {
        Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()
    };
    match *numbers.as_slice() {
        [year, month] => Some(date(year, month, 1)?.saturating_add(1.month())),
        [year, month, day] => Some(date(year, month, day)?.saturating_add(1.day())),
        _ => None,
    }
}

async fn drop_if_empty(transaction: &Transaction<'_>, part: &Part) -> Result<(), StoreError> {
    let name = &part.name;
    // Late records may come until the lock is held; then it is known whether there are any.
    transaction
        .batch_execute(&format!("LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE"))
        .await?;
    let is_empty = format!("SELECT NOT EXISTS (SELECT FROM {name})");
    if transaction.query_one(&is_empty, &[]).await?.get(0) {
        transaction
            .batch_execute(&format!("DROP TABLE {name}"))
            .await?;
    }
    Ok(())
}

async fn make_partition(
    transaction: &Transaction<'_>,
    table: &str,
    month: Date,
) -> Result<(), StoreError> {
    let name = part_name(table, month);
    let is_there: bool = transaction
        .query_one("SELECT to_regclass($1) IS NOT NULL", &[&name])
        .await?
        .get(0);
    if is_there {
        return Ok(());
    }
    let (from, to) = (start(month), start(month.saturating_add(1.month())));
    // The default part may hold events of this month; nobody may add to them meanwhile.
    transaction
        .batch_execute(&format!(
            "LOCK TABLE {table}_other IN ACCESS EXCLUSIVE MODE;
             CREATE TABLE {name} (LIKE {table} INCLUDING ALL);
             WITH moved AS (DELETE FROM {table}_other WHERE time >= {from} AND time < {to} RETURNING *)
                 INSERT INTO {name} SELECT * FROM moved;
             ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ({from}) TO ({to});"
        ))
        .await?;
    Ok(())
}

/// What makes a month's table with a part for each of its days, beside the table and the month that are there. A
/// part made as such would lack the table's statistics.
fn days_of(table: &str, month: Date, name: &str) -> String {
    let parent = format!("{name}_days");
    let days = (0..month.days_in_month()).map(|day| {
        let day = month.saturating_add(i32::from(day).days());
        let (from, to) = (start(day), start(day.saturating_add(1.day())));
        let part = format!("{name}_{}", day.strftime("%d"));
        format!(
            "CREATE TABLE {part} (LIKE {table} INCLUDING ALL);
             ALTER TABLE {parent} ATTACH PARTITION {part} FOR VALUES FROM ({from}) TO ({to});\n"
        )
    });
    format!(
        "CREATE TABLE {parent} (LIKE {table} INCLUDING ALL) PARTITION BY RANGE (time);
         CREATE TABLE {name}_other (LIKE {table} INCLUDING ALL);
         ALTER TABLE {parent} ATTACH PARTITION {name}_other DEFAULT;
         {}",
        days.collect::<String>()
    )
}

fn part_name(table: &str, month: Date) -> String {
    format!("{table}_{}", month.strftime("%Y_%m"))
}

/// The day of UTC.
fn today() -> Date {
    Offset::UTC.to_datetime(jiff::Timestamp::now()).date()
}

/// Midnight UTC of a day, in nanoseconds since the Unix epoch.
fn start(day: Date) -> i64 {
    let midnight = Offset::UTC.to_timestamp(day.to_datetime(Time::midnight()));
    midnight
        .ok()
        .and_then(|midnight| i64::try_from(midnight.as_nanosecond()).ok())
        .unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_part_says_when_it_ends() {
        let end = |name| end_of(name).map(|end| end.to_string());
        assert_eq!(end("2026_12").as_deref(), Some("2027-01-01"));
        assert_eq!(end("2026_12_05").as_deref(), Some("2026-12-06"));
        assert_eq!(end("2028_02_29").as_deref(), Some("2028-03-01"));
        for other in ["other", "2026_12_other", "2026_13", "2026", ""] {
            assert_eq!(end(other), None, "{other}");
        }
    }
}
