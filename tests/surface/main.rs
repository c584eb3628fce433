//! The surface: the header, the C ABI and its programs in C and C++, the installed tree, the same answers in each language.

mod abi;
mod c_abi;
mod columns;
mod header;
mod install;
mod programs;
mod same_answers;
mod small;
