//! One way to serve and to dial gRPC, in production and in the simulation.
