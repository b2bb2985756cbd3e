//! Bloom filters: whether a block may have an id, in 20 bits for each of its ids. One block in some ten
//! thousand is read in vain.

use super::keys::text_key;

/// Bits of a filter for each of its texts.
const BITS: usize = 20;

/// Bits that each text sets.
const HASHES: u64 = 7;

/// The filter of these texts; empty when there are none.
pub(super) fn filter(texts: &[String]) -> Vec<u8> {
    let mut filter = vec![0; (texts.len() * BITS).div_ceil(8)];
    let bits = filter.len() as u64 * 8;
    for hash in texts.iter().flat_map(|text| hashes(text)) {
        let bit = hash % bits;
        // As PostgreSQL numbers the bits of bytes.
        filter[(bit / 8) as usize] |= 1 << (bit % 8);
    }
    filter
}

/// What picks the bits of a text: the remainder by the number of bits of a filter.
pub(super) fn hashes(text: &str) -> impl Iterator<Item = u64> + use<> {
    let key = text_key(text).cast_unsigned();
    let (first, step) = (key >> 32, (key & 0xffff_ffff) | 1);
    (0..HASHES).map(move |number| first + number * step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_has_its_texts_and_hardly_any_other() {
        let texts: Vec<String> = (0..500).map(|number| format!("toolu_{number}")).collect();
        let filter = filter(&texts);
        let has = |text: &str| {
            let mut hashes = hashes(text).map(|hash| hash % (filter.len() as u64 * 8));
            hashes.all(|bit| filter[(bit / 8) as usize] >> (bit % 8) & 1 == 1)
        };
        assert!(texts.iter().all(|text| has(text)));
        let others = (500..100_500).filter(|number| has(&format!("toolu_{number}")));
        assert!(others.count() < 100);
        assert!(super::filter(&[]).is_empty());
    }
}
