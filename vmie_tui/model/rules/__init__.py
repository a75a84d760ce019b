"""The rules of VM import and export: pure functions over model values that return findings, worst first.

Packages import none of their own modules: the app imports from several threads at once, and a thread that loads a
module while another loads its package would meet it half made.
"""
