"""Adversarial Lab: see how little it takes to fool a neural network, and what adversarial training changes."""

import os
from pathlib import Path

# Threads that spin while they wait slow down another program on the same cores tenfold: a page beside a training job.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import streamlit as st

from advcore.jobs import queue
from pages import accuracy, attack, believe, models, papers, retrain, your_image
from ui import frame, uploads

# Before `st.navigation`, which would fetch the icon of each page from the network.
st.set_page_config(page_title="Adversarial Lab", page_icon=str(Path(__file__).with_name("ui") / "icon.png"), layout="wide")

ATTACK = st.Page(attack.page, title="Attack", icon=":material/bolt:", url_path="", default=True)
YOUR_IMAGE = st.Page(your_image.page, title="Your image", icon=":material/add_photo_alternate:", url_path="your_image")
PAGES = [
    ATTACK,
    YOUR_IMAGE,
    st.Page(accuracy.page, title="Accuracy vs ε", icon=":material/show_chart:", url_path="accuracy"),
    st.Page(believe.page, title="Can it be believed?", icon=":material/verified:", url_path="believe"),
    st.Page(papers.page, title="Papers", icon=":material/menu_book:", url_path="papers"),
    st.Page(retrain.page, title="Retrain", icon=":material/school:", url_path="retrain"),
    st.Page(models.page, title="Models", icon=":material/inventory_2:", url_path="models"),
]
# Addresses that lead to a page of another address, with what the link asks for.
MOVED = [
    st.Page(
        lambda page=page: st.switch_page(page, query_params=st.query_params.to_dict()),
        title=old,
        url_path=old,
        visibility="hidden",
    )
    for old, page in {"attack": ATTACK, "your-image": YOUR_IMAGE}.items()
]
uploads.limit()
queue.tidy()
page = st.navigation([*PAGES, *MOVED], position="top")
st.set_page_config(page_title=f"{page.title} – Adversarial Lab")
frame.show(page)
