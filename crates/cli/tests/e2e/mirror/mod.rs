//! `seedlog mirror`: one cluster's log in another's, whatever is killed, and what it refuses.

mod killed;
mod refused;
mod side;
