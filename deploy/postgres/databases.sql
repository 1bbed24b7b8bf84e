-- One database and one role each for the service and for MLflow; neither can access the other's.
\set service_password `cat /run/secrets/service_db_password`
\set mlflow_password `cat /run/secrets/mlflow_db_password`

create role sasam login password :'service_password';
create database sasam owner sasam;
revoke all on database sasam from public;

create role mlflow login password :'mlflow_password';
create database mlflow owner mlflow;
revoke all on database mlflow from public;

revoke all on database postgres from public;
