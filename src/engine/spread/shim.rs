//! shim
use super::{Action, Event};
use std::time::Duration;
/// shim
#[derive(Default, Clone, Debug)]
pub struct Rules;
/// shim
pub struct Spread<P>(std::marker::PhantomData<P>);
impl<P> Spread<P> {
    /// shim
    pub fn new(_: Rules, _: u64) -> Self {
        Self(std::marker::PhantomData)
    }
    /// shim
    pub fn handle(&mut self, event: Event<P>, _: Duration) -> Vec<Action<P>> {
        match event {
            Event::Want { item, .. } => vec![Action::Stuck(item)],
            _ => vec![],
        }
    }
    /// shim
    pub fn deadline(&self) -> Option<Duration> {
        None
    }
}
