//! Blocks are made anew: small ones are united, events and contents are taken out.
//!
//! Whoever makes a block anew has read it before. The change is done only when the block still is as it was
//! read, so that nobody puts back what somebody else has just erased.

use std::collections::BTreeSet;

use super::block::{BlockEvent, MAX_EVENTS, NewBlock, SPAN_NANOS, StoredBlock, pack};
use super::dictionary::Dictionaries;
use super::event_row::StoredEvent;
use super::query::{Query, Value};
use super::text::{Document, document};
use super::{Database, Dialect, Scope, Store, StoreError, postgres};

/// What becomes of a block.
pub(super) struct BlockChange {
    /// The block as it was read.
    pub(super) old: StoredBlock,
    /// What takes its place.
    pub(super) new: Option<NewBlock>,
    /// What the text index says of it then, should it be indexed.
    pub(super) document: Option<Document>,
}

impl Store {
    /// The blocks after `seq`, in order, of one environment or of all. Never past a transaction that may
    /// still add earlier ones.
    pub(super) async fn follow(
        &self,
        scope: Option<Scope>,
        seq: i64,
        limit: i64,
    ) -> Result<Vec<StoredBlock>, StoreError> {
        let sql = format!("SELECT {} FROM event_blocks WHERE", StoredBlock::COLUMNS);
        let mut query = Query::new(sql, []);
        query.push(" seq > ").bind(seq);
        if let Some(scope) = scope {
            query.push(" AND tenant = ").bind(scope.tenant);
            query.push(" AND environment = ").bind(scope.environment);
        }
        if self.dialect() == Dialect::Postgres {
            query.push(&format!(" AND seq < {}", postgres::open_seq()));
        }
        query.push(" ORDER BY seq LIMIT ").bind(limit);
        self.read_blocks(query).await
    }

    /// All blocks of an environment after `seq` that anybody can see now, one more than `limit` at most.
    pub(super) async fn blocks_after(
        &self,
        scope: Scope,
        seq: i64,
        limit: usize,
    ) -> Result<Vec<StoredBlock>, StoreError> {
        let sql = format!(
            "SELECT {} FROM event_blocks
             WHERE tenant = $1 AND environment = $2 AND seq > $3 ORDER BY seq LIMIT $4",
            StoredBlock::COLUMNS
        );
        let mut query = Query::scoped(sql, scope);
        query.values.extend([seq.into(), (limit as i64 + 1).into()]);
        self.read_blocks(query).await
    }

    /// The blocks that events lie in.
    pub(super) async fn blocks_of(
        &self,
        scope: Scope,
        mut seqs: Vec<i64>,
    ) -> Result<Vec<StoredBlock>, StoreError> {
        seqs.sort_unstable();
        let rows = match &self.database {
            Database::Sqlite(sqlite) => sqlite.blocks_of(scope, seqs).await?,
            Database::Postgres(postgres) => postgres.blocks_of(scope, seqs).await?,
        };
        let blocks: Vec<StoredBlock> = rows
            .into_iter()
            .map(StoredBlock::read)
            .collect::<Result<_, _>>()?;
        self.know_dictionaries(&blocks).await?;
        Ok(blocks)
    }

    /// Some blocks of which a part of the contents is older than this.
    pub(super) async fn blocks_with_content(
        &self,
        scope: Scope,
        before: i64,
        limit: i64,
    ) -> Result<Vec<StoredBlock>, StoreError> {
        let sql = format!(
            "SELECT {} FROM event_blocks WHERE tenant = $1 AND environment = $2
                 AND content_from < $3 ORDER BY content_from LIMIT $4",
            StoredBlock::COLUMNS
        );
        let mut query = Query::scoped(sql, scope);
        query.values.extend([Value::from(before), limit.into()]);
        self.read_blocks(query).await
    }

    async fn read_blocks(&self, query: Query) -> Result<Vec<StoredBlock>, StoreError> {
        let rows = self.rows(query).await?.into_iter();
        let blocks: Vec<StoredBlock> = rows.map(StoredBlock::read).collect::<Result<_, _>>()?;
        self.know_dictionaries(&blocks).await?;
        Ok(blocks)
    }

    /// Fetches the dictionaries that blocks need and that are not at hand: another replica made them.
    async fn know_dictionaries(&self, blocks: &[StoredBlock]) -> Result<(), StoreError> {
        let knows = |frame: &[u8]| self.dictionaries.knows(frame);
        let is_known = blocks
            .iter()
            .all(|block| knows(&block.records) && block.contents.as_deref().is_none_or(knows));
        match is_known {
            true => Ok(()),
            false => self.load_dictionaries().await,
        }
    }
}

/// Unites blocks that are small and follow each other, of any environments and in the order of `seq`; gives
/// what changes, and all blocks as they are then.
pub(super) fn unite(
    dictionaries: &Dictionaries,
    blocks: Vec<StoredBlock>,
) -> Result<(Vec<BlockChange>, Vec<StoredBlock>), StoreError> {
    let mut order: Vec<usize> = (0..blocks.len()).collect();
    order.sort_by_key(|index| (blocks[*index].scope, blocks[*index].seq));
    let inflated = blocks
        .iter()
        .map(|block| block.inflate(dictionaries))
        .collect::<Result<Vec<_>, _>>()?;
    let events = inflated
        .iter()
        .map(|inflated| inflated.events())
        .collect::<Result<Vec<_>, _>>()?;
    let span = |index: usize| blocks[index].last_time.div_euclid(SPAN_NANOS);
    let mut groups: Vec<(usize, Vec<usize>)> = Vec::new();
    for index in order {
        let count = events[index].len();
        match groups.last_mut() {
            Some((total, group))
                if *total + count <= MAX_EVENTS
                    && blocks[group[0]].scope == blocks[index].scope
                    && span(group[0]) == span(index) =>
            {
                *total += count;
                group.push(index);
            }
            _ => groups.push((count, vec![index])),
        }
    }
    let dictionary = dictionaries.newest();
    let mut compressor = dictionary.compressor();
    let (mut changes, mut united) = (Vec::new(), Vec::with_capacity(groups.len()));
    for (_, group) in groups {
        let last = &blocks[*group.last().expect("a group is not empty")];
        let all: Vec<BlockEvent<'_>> = group.iter().flat_map(|it| &events[*it]).copied().collect();
        let new = match group.len() {
            1 => None,
            _ => pack(&mut compressor, last.seq, &all),
        };
        let Some(new) = new else {
            united.push(last.clone());
            continue;
        };
        united.push(new.stored(last.scope, last.seq));
        let gone = group.iter().map(|index| BlockChange {
            old: blocks[*index].clone(),
            new: None,
            document: None,
        });
        changes.extend(gone);
        if let Some(change) = changes.last_mut() {
            change.new = Some(new);
        }
    }
    Ok((changes, united))
}

/// Takes events out of a block, and gives them.
pub(super) fn take_out(
    dictionaries: &Dictionaries,
    dialect: Dialect,
    old: StoredBlock,
    gone: &BTreeSet<i64>,
) -> Result<(Vec<(i64, StoredEvent)>, BlockChange), StoreError> {
    let inflated = old.inflate(dictionaries)?;
    let (gone, kept): (Vec<BlockEvent<'_>>, Vec<BlockEvent<'_>>) = inflated
        .events()?
        .into_iter()
        .partition(|event| gone.contains(&event.seq));
    let gone = gone
        .iter()
        .map(|event| Ok((event.seq, StoredEvent::read(event)?)))
        .collect::<Result<_, StoreError>>()?;
    let change = put_in_place(dictionaries, dialect, &old, &kept)?;
    Ok((gone, change.into_change(old)))
}

/// Takes the contents of events before `cut` out of a block; tells of how many.
pub(super) fn without_content(
    dictionaries: &Dictionaries,
    dialect: Dialect,
    old: StoredBlock,
    cut: i64,
) -> Result<(u64, BlockChange), StoreError> {
    let inflated = old.inflate(dictionaries)?;
    let mut events = inflated.events()?;
    let without: Vec<Option<Vec<u8>>> = events
        .iter()
        .map(|event| {
            (event.time < cut)
                .then(|| event.without_content())
                .transpose()
        })
        .collect::<Result<_, _>>()?;
    let mut erased = 0;
    for (event, record) in events.iter_mut().zip(&without) {
        if let Some(record) = record {
            let had_content = !event.content.is_empty() || event.record != record.as_slice();
            erased += u64::from(had_content);
            (event.record, event.content) = (record, &[]);
        }
    }
    let change = put_in_place(dictionaries, dialect, &old, &events)?;
    Ok((erased, change.into_change(old)))
}

/// What takes the place of a block.
struct Replacement(Option<(NewBlock, Document)>);

impl Replacement {
    fn into_change(self, old: StoredBlock) -> BlockChange {
        let (new, document) = self.0.unzip();
        BlockChange { old, new, document }
    }
}

fn put_in_place(
    dictionaries: &Dictionaries,
    dialect: Dialect,
    old: &StoredBlock,
    events: &[BlockEvent<'_>],
) -> Result<Replacement, StoreError> {
    let dictionary = dictionaries.newest();
    let Some(new) = pack(&mut dictionary.compressor(), old.seq, events) else {
        return Ok(Replacement(None));
    };
    let document = document(dialect, old.scope, old.seq, events)?;
    Ok(Replacement(Some((new, document))))
}

impl NewBlock {
    /// The block as it lies in the store under this name.
    pub(super) fn stored(&self, scope: Scope, seq: i64) -> StoredBlock {
        StoredBlock {
            scope,
            seq,
            last_time: self.last_time,
            records: self.records.clone(),
            contents: self.contents.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value::Value};
    use opentelemetry_proto::tonic::logs::v1::LogRecord;
    use prost::Message;

    use super::*;
    use crate::event::attribute;

    #[test]
    fn content_that_an_older_version_left_in_the_record_goes_with_the_rest() {
        let text = |text: &str| Value::StringValue(text.to_owned());
        let record = LogRecord {
            body: Some(AnyValue {
                value: Some(text("SECRET body")),
            }),
            attributes: vec![
                attribute("event.name", text("tool_result")),
                attribute("something.new", text("SECRET text")),
            ],
            ..LogRecord::default()
        };
        let record = record.encode_to_vec();
        let event = |seq, time| BlockEvent {
            seq,
            time,
            received: time,
            agent: None,
            tool: None,
            origin: &[],
            record: &record,
            content: &[],
        };
        let dictionaries = Dictionaries::of(Dialect::Sqlite);
        let scope = Scope {
            tenant: 1,
            environment: 2,
        };
        let newest = dictionaries.newest();
        let block = pack(&mut newest.compressor(), 8, &[event(7, 100), event(8, 200)]);
        let old = block.expect("there are events").stored(scope, 8);
        let (erased, change) =
            without_content(&dictionaries, Dialect::Sqlite, old, 150).expect("it can be read");
        assert_eq!(erased, 1);
        let new = change.new.expect("events stay");
        let inflated = new.stored(scope, 8).inflate(&dictionaries);
        let inflated = inflated.expect("it can be read");
        let events = inflated.events().expect("it can be read");
        let says = |event: &BlockEvent<'_>| event.record.windows(6).any(|it| it == b"SECRET");
        assert!(!says(&events[0]) && says(&events[1]));
    }
}
