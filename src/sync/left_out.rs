//! Manifests that peers offered and this node did not take: not fetched again with each comparison of catalogs.
//!
//! Most are publications that another policy lets in (see [`TrustError::is_fault`](crate::domain::trust::TrustError::is_fault)). With
//! another rule all of them count as new again, and each does after [`limits::LEFT_OUT_FOR`].

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use super::limits;
use crate::domain::manifest::ManifestId;

/// The ids, under the rule by which they were left out.
#[derive(Debug, Default)]
pub(super) struct LeftOut {
    rule: String,
    order: VecDeque<ManifestId>,
    since: HashMap<ManifestId, Instant>,
}

impl LeftOut {
    /// One was not taken. Beyond [`limits::LEFT_OUT`] the oldest one is forgotten.
    pub(super) fn insert(&mut self, rule: &str, id: ManifestId, now: Instant) {
        self.refresh(rule, now);
        if self.since.insert(id, now).is_none() {
            self.order.push_back(id);
        }
        if self.order.len() > limits::LEFT_OUT
            && let Some(oldest) = self.order.pop_front()
        {
            self.since.remove(&oldest);
        }
    }

    /// Whether one was not taken.
    pub(super) fn contains(&mut self, rule: &str, id: &ManifestId, now: Instant) -> bool {
        self.refresh(rule, now);
        self.since.contains_key(id)
    }

    /// All of them.
    pub(super) fn all(&mut self, rule: &str, now: Instant) -> Arc<[ManifestId]> {
        self.refresh(rule, now);
        self.order.iter().copied().collect()
    }

    fn refresh(&mut self, rule: &str, now: Instant) {
        if self.rule != rule {
            *self = Self { rule: rule.into(), ..Self::default() };
        }
        self.since.retain(|_, since| now.saturating_duration_since(*since) < limits::LEFT_OUT_FOR);
        if self.order.len() != self.since.len() {
            self.order.retain(|id| self.since.contains_key(id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_few_and_not_for_ever_and_not_under_another_rule() {
        let (mut left_out, now) = (LeftOut::default(), Instant::now());
        let id = |n: usize| ManifestId::of(&n.to_le_bytes());
        (0..limits::LEFT_OUT + 5).for_each(|n| left_out.insert("rule", id(n), now));
        left_out.insert("rule", id(7), now);
        assert_eq!(left_out.all("rule", now).len(), limits::LEFT_OUT);
        assert!(!left_out.contains("rule", &id(4), now) && left_out.contains("rule", &id(5), now));
        let later = now + limits::LEFT_OUT_FOR;
        left_out.insert("rule", id(0), later);
        assert_eq!(left_out.all("rule", later)[..], [id(0)]);
        assert!(left_out.all("another", later).is_empty());
    }
}
