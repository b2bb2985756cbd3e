//! The parts that events lie in by month, made ahead. What lies in the default part when its month is
//! made moves over.

use deadpool_postgres::Transaction;
use jiff::ToSpan;
use jiff::civil::{Date, Time};
use jiff::tz::Offset;

use crate::central::store::StoreError;
use crate::event::Timestamp;

use super::Postgres;

/// Months that are made before they begin.
const MONTHS_AHEAD: i32 = 3;

/// Months before the present one that are made, too: for edges that come back after a long time.
const MONTHS_BEHIND: i32 = 2;

/// Advisory lock of whoever makes or drops parts.
pub(super) const PARTITION_LOCK: i64 = 0x6669_656c_6470_0003;

/// The tables that are parted, with what the name of a part begins with.
pub(super) const PARTED: [&str; 1] = ["events"];

impl Postgres {
    /// Makes the parts of the months around now that are not there.
    pub(in crate::central::store) async fn make_partitions(&self) -> Result<(), StoreError> {
        let today = Offset::UTC.to_datetime(jiff::Timestamp::now()).date();
        let mut client = self.client().await?;
        let transaction = client.transaction().await?;
        transaction
            .execute("SELECT pg_advisory_xact_lock($1)", &[&PARTITION_LOCK])
            .await?;
        for months in -MONTHS_BEHIND..=MONTHS_AHEAD {
            let month = today.first_of_month().saturating_add(months.months());
            for table in PARTED {
                make_partition(&transaction, table, month).await?;
            }
        }
        transaction.commit().await?;
        Ok(())
    }
}

impl Postgres {
    /// Drops the parts of months before `cut` that hold nothing any more.
    pub(super) async fn drop_partitions(&self, cut: Timestamp) -> Result<(), StoreError> {
        let oldest_made = Offset::UTC.to_datetime(jiff::Timestamp::now()).date();
        let oldest_made = oldest_made
            .first_of_month()
            .saturating_sub(MONTHS_BEHIND.months());
        let cut = cut.0.min(start(oldest_made));
        let mut client = self.client().await?;
        let transaction = client.transaction().await?;
        transaction
            .execute("SELECT pg_advisory_xact_lock($1)", &[&PARTITION_LOCK])
            .await?;
        for table in PARTED {
            for (name, month) in partitions(&transaction, table).await? {
                if start(month.saturating_add(1.month())) > cut {
                    continue;
                }
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
            }
        }
        transaction.commit().await?;
        Ok(())
    }
}

/// The parts of a table by month, with the first day of each.
async fn partitions(
    transaction: &Transaction<'_>,
    table: &str,
) -> Result<Vec<(String, Date)>, StoreError> {
    let rows = transaction
        .query(
            "SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
             WHERE i.inhparent = $1::text::regclass",
            &[&table],
        )
        .await?;
    let parts = rows.iter().filter_map(|row| {
        let name: String = row.get(0);
        let month = name.strip_prefix(table)?.strip_prefix('_')?;
        let (year, month) = month.split_once('_')?;
        let month = Date::new(year.parse().ok()?, month.parse().ok()?, 1).ok()?;
        Some((name, month))
    });
    Ok(parts.collect())
}

async fn make_partition(
    transaction: &Transaction<'_>,
    table: &str,
    month: Date,
) -> Result<(), StoreError> {
    let name = format!("{table}_{}", month.strftime("%Y_%m"));
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

/// Midnight UTC of a day, in nanoseconds since the Unix epoch.
fn start(day: Date) -> i64 {
    let midnight = Offset::UTC.to_timestamp(day.to_datetime(Time::midnight()));
    midnight
        .ok()
        .and_then(|midnight| i64::try_from(midnight.as_nanosecond()).ok())
        .unwrap_or(i64::MAX)
}
