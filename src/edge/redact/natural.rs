//! Whether a text reads like words of a language: how many of its pairs of letters are common ones.

/// Whether most of the value reads like words of a language, as identifiers and prose do.
pub(super) fn is_natural(value: &str) -> bool {
    naturalness(value) >= 72
}

/// How many of a hundred pairs of letters are common ones; 0 for a value that is too short or has few letters.
pub(super) fn naturalness(value: &str) -> usize {
    let mut common = 0usize;
    let mut all = 0usize;
    let mut letters = 0usize;
    let mut previous = 0u8;
    for &byte in value.as_bytes() {
        letters += usize::from(byte.is_ascii_alphabetic());
        let continues = byte.is_ascii_lowercase() && previous.is_ascii_alphabetic()
            || byte.is_ascii_uppercase() && previous.is_ascii_uppercase();
        if continues {
            all += 1;
            common += usize::from(is_common(
                previous.to_ascii_lowercase(),
                byte.to_ascii_lowercase(),
            ));
        }
        previous = byte;
    }
    if all >= 4 && letters * 5 >= value.len() * 3 {
        common * 100 / all
    } else {
        0
    }
}

/// The pairs of letters that make up most of English text and of the words in identifiers.
const COMMON_BIGRAMS: &str = "\
    th he in er an re on at en nd ti es or te of ed is it al ar st to nt ng se ha as ou io le ve co me de hi ri ro ic \
    ne ea ra ce li ch ll be ma si om ur ca el ta la ns di fo ho pe ec pr no ct us ac ot il tr ly nc et ut ss so rs un \
    lo wa ge ie wh ee wi em ad ol rt po we na ul ni ts mo ow pa im mi ai sh ir su id os iv ia am fi ci vi pl ig tu ev \
    ld ry mp fe bl ab gh ty op wo sa ay ex ke fr oo av ag if ap gr od bo sp rd do uc bu ei ov by rm ep tt oc fa ef cu \
    rn sc gi da yo cr cl du ga qu ue ff ba ey ls va um pp ua up lu go ht ru ug ds lt pi rc rr eg au ck ew mu br bi pt \
    ak pu ui rg ib tl ny ki rk ys ob mm fu ph og ms ye ud mb ip ub oi rl gu dr hr cc tw ft wn nu af hu nn eo vo rv nf \
    xp gn sm fl iz ok nl my gl aw ju oa eq sy sl ps jo lf nv je nk kn gs dy hy ze ks xt bs ik dd pt rp sk xi oe oy ws \
    lv dl rf eu dg wr xa yi nm eb ke ey ow";

fn is_common(first: u8, second: u8) -> bool {
    static TABLE: std::sync::OnceLock<[u32; 26]> = std::sync::OnceLock::new();
    let table = TABLE.get_or_init(|| {
        let mut table = [0; 26];
        for pair in COMMON_BIGRAMS.split_whitespace() {
            let pair = pair.as_bytes();
            table[usize::from(pair[0] - b'a')] |= 1 << (pair[1] - b'a');
        }
        table
    });
    table[usize::from(first - b'a')] & (1 << (second - b'a')) != 0
}
