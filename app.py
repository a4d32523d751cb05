"""Adversarial Lab: see how little it takes to fool a neural network, and how it learns to hold."""

import os

# Two programs whose threads spin while they wait for one another take ten times as long: a page beside a training job.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import streamlit as st

from ui import guard, style

st.set_page_config(page_title="Adversarial Lab", page_icon="ui/icon.png", layout="wide")

style.apply()
PAGES = [
    st.Page("app_pages/attack.py", title="Attack", icon=":material/bolt:", default=True),
    st.Page("app_pages/your_image.py", title="Your image", icon=":material/add_photo_alternate:", url_path="your-image"),
    st.Page("app_pages/accuracy.py", title="Accuracy vs ε", icon=":material/show_chart:"),
    st.Page("app_pages/papers.py", title="Papers", icon=":material/menu_book:"),
    st.Page("app_pages/retrain.py", title="Retrain", icon=":material/school:"),
    st.Page("app_pages/models.py", title="Models", icon=":material/inventory_2:"),
]
guard.run(st.navigation(PAGES, position="top"))
