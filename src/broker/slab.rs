//! Connections by token. A token names one connection for ever: its slot has a generation.

/// Slots and their generations.
#[derive(Debug)]
pub(super) struct Slab<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    count: usize,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    value: Option<Box<T>>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Slab { slots: Vec::new(), free: Vec::new(), count: 0 }
    }
}

impl<T> Slab<T> {
    /// A token for a value that will be put in.
    pub fn reserve(&mut self) -> u64 {
        self.count += 1;
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, value: None });
            (self.slots.len() - 1) as u32
        });
        let generation = self.slots.get(index as usize).map_or(0, |slot| slot.generation);
        u64::from(generation) << 32 | u64::from(index)
    }

    fn slot(&mut self, token: u64) -> Option<&mut Slot<T>> {
        let slot = self.slots.get_mut((token & u64::from(u32::MAX)) as usize)?;
        (u64::from(slot.generation) == token >> 32).then_some(slot)
    }

    /// Takes a value out for a while; its token stays.
    pub fn take(&mut self, token: u64) -> Option<Box<T>> {
        self.slot(token)?.value.take()
    }

    /// Puts a value in its place.
    pub fn put_back(&mut self, token: u64, value: Box<T>) {
        if let Some(slot) = self.slot(token) {
            slot.value = Some(value);
        }
    }

    pub fn peek(&mut self, token: u64) -> Option<&mut T> {
        self.slot(token)?.value.as_deref_mut()
    }

    /// Gives a token back.
    pub fn release(&mut self, token: u64) {
        if let Some(slot) = self.slot(token) {
            slot.value = None;
            // The highest generations are left out: tokens of the loop itself look like them.
            slot.generation = (slot.generation + 1) % (u32::MAX / 2);
            self.count -= 1;
            self.free.push((token & u64::from(u32::MAX)) as u32);
        }
    }

    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// All values that are in their places.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().filter_map(|slot| slot.value.as_deref())
    }

    /// The tokens of all values.
    pub fn tokens(&self) -> Vec<u64> {
        let filled = self.slots.iter().enumerate().filter(|(_, slot)| slot.value.is_some());
        filled.map(|(index, slot)| u64::from(slot.generation) << 32 | index as u64).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_token_finds_nothing() {
        let mut slab = Slab::default();
        let first = slab.reserve();
        slab.put_back(first, Box::new('a'));
        assert_eq!((slab.peek(first).copied(), slab.tokens()), (Some('a'), vec![first]));
        slab.release(first);
        let second = slab.reserve();
        slab.put_back(second, Box::new('b'));
        assert_ne!(first, second);
        assert_eq!((slab.take(first), slab.take(second)), (None, Some(Box::new('b'))));
        assert_eq!((slab.len(), slab.is_empty()), (1, false));
        slab.release(first);
        slab.release(second);
        assert!(slab.is_empty());
    }
}
