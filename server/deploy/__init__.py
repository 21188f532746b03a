"""Deployments: a folder with everything that keeps an installation running, made from templates and updated later."""
