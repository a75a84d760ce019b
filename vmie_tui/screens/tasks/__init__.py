"""Mode 3: conversion, import and export tasks of the account, over Regions and profiles."""
