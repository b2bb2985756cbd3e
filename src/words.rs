//! Numbers and times in words, for the portal and for the command line.

use crate::event::Timestamp;

const SECOND: i64 = 1_000_000_000;

/// `12 345`, grouped by narrow spaces that do not break.
pub fn count(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut grouped = String::with_capacity(digits.len() + 6);
    if number < 0 {
        grouped.push('−');
    }
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    grouped
}

/// `1 tool`, `2 tools`.
pub fn plural(number: usize, one: &str, many: &str) -> String {
    let number = i64::try_from(number).unwrap_or(i64::MAX);
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// "3 agents and 2 machines"; "nobody" without any.
pub fn senders(agents: i64, machines: i64) -> String {
    let words = |count: i64, one, many| {
        let count = usize::try_from(count).unwrap_or(0);
        (count > 0).then(|| plural(count, one, many))
    };
    let agents = words(agents, "agent", "agents");
    let machines = words(machines, "machine", "machines");
    let senders: Vec<String> = agents.into_iter().chain(machines).collect();
    match senders.is_empty() {
        true => "nobody".to_owned(),
        false => senders.join(" and "),
    }
}

/// `1 live token`, `3 live tokens`: those that are neither revoked nor expired.
pub fn live_tokens(number: i64) -> String {
    let number = usize::try_from(number).unwrap_or(0);
    plural(number, "live token", "live tokens")
}

/// `940`, `21.4 k`, `3.20 M`.
pub fn tokens(number: i64) -> String {
    match number {
        ..10_000 => count(number),
        10_000..1_000_000 => format!("{:.1} k", number as f64 / 1e3),
        _ => format!("{:.2} M", number as f64 / 1e6),
    }
}

/// US dollars: `$0.14`, with more places where it is less than ten cents.
pub fn dollars(amount: f64) -> String {
    if amount == 0.0 {
        "$0".to_owned()
    } else if amount.abs() < 0.1 {
        format!("${amount:.4}")
    } else {
        format!("${amount:.2}")
    }
}

/// `38 %`, `1.4 %`, `0.02 %`; what is less than that, but not nothing, is `< 0.01 %`.
pub fn percent(share: f64) -> String {
    match share {
        ..=0.0 => "0 %".to_owned(),
        ..0.01 => "< 0.01 %".to_owned(),
        ..0.1 => format!("{share:.2} %"),
        ..10.0 => format!("{share:.1} %"),
        _ => format!("{share:.0} %"),
    }
}

/// `232 B`, `1.4 kB`, `2.1 GB`.
pub fn bytes(number: i64) -> String {
    match number {
        ..1_000 => format!("{number} B"),
        1_000..1_000_000 => format!("{:.1} kB", number as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", number as f64 / 1e6),
        _ => format!("{:.1} GB", number as f64 / 1e9),
    }
}

/// `74 ms`, `1.2 s`, `3 min 4 s`.
pub fn milliseconds(number: i64) -> String {
    match number {
        ..1_000 => format!("{number} ms"),
        1_000..60_000 => format!("{:.1} s", number as f64 / 1e3),
        _ => span(number.saturating_mul(1_000_000)),
    }
}

/// Nanoseconds in the two largest units: `2 d 4 h`, `3 min 4 s`, `12 s`.
pub fn span(nanoseconds: i64) -> String {
    let seconds = nanoseconds / SECOND;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    let two = |first: i64, unit: &str, second: i64, small: &str| match second {
        0 => format!("{first} {unit}"),
        _ => format!("{first} {unit} {second} {small}"),
    };
    if days > 0 {
        two(days, "d", hours, "h")
    } else if hours > 0 {
        two(hours, "h", minutes, "min")
    } else if minutes > 0 {
        two(minutes, "min", seconds % 60, "s")
    } else if seconds > 0 {
        format!("{seconds} s")
    } else {
        format!("{} ms", nanoseconds.max(0) / 1_000_000)
    }
}

/// `3 min ago`, in one unit.
pub fn ago(time: Timestamp, now: Timestamp) -> String {
    let seconds = now.0.saturating_sub(time.0) / SECOND;
    match seconds {
        ..-60 => "in the future".to_owned(),
        -60..60 => "just now".to_owned(),
        60..3_600 => format!("{} min ago", seconds / 60),
        3_600..86_400 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} d ago", seconds / 86_400),
    }
}

/// A text that may come from anywhere, without what would move a terminal's cursor or change its
/// colors.
pub fn printable(text: &str) -> String {
    let show = |letter: char| if letter.is_control() { '·' } else { letter };
    text.chars().map(show).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(count(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(count(-12), "−12");
        assert_eq!(plural(1, "tool", "tools"), "1 tool");
        assert_eq!(tokens(21_400), "21.4 k");
        assert_eq!(dollars(0.0089784), "$0.0090");
        assert_eq!(dollars(1.5), "$1.50");
        let shares = [0.0, 0.001, 0.05, 1.38, 99.96].map(percent);
        assert_eq!(shares, ["0 %", "< 0.01 %", "0.05 %", "1.4 %", "100 %"]);
        assert_eq!(milliseconds(294), "294 ms");
        assert_eq!(milliseconds(184_000), "3 min 4 s");
        assert_eq!(span(SECOND * (2 * 86_400 + 4 * 3_600)), "2 d 4 h");
        assert_eq!(printable("a\u{1b}[31mb\n"), "a·[31mb·");
        assert_eq!(ago(Timestamp(0), Timestamp(SECOND * 7_300)), "2 h ago");
    }
}
