"""The management endpoints, one module for each subject."""
