"""The paper's figures and claims, set beside what a store says."""
